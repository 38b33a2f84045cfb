// Command bench answers: how near does each step of the main job come to what its raw parts allow?
//
//	go run ./host/internal/bench                    all steps, a few minutes (= make bench)
//	go run ./host/internal/bench -run 'publish|put' some of them
//	go run ./host/internal/bench -quick             small sizes: does it all still work
//	go run ./host/internal/bench -json FILE         the same figures for a program
//	go run ./host/internal/bench -profile DIR       CPU profiles of the bench and of every node it starts
//
// # How to read the table
//
// Each row is one step. Its bound is the time that the raw parts alone need for the same bytes, one
// after another, in the same run and with the same number of processes: plain BLAKE3 in streaming
// writes, plain Reed-Solomon, plain quic-go streams, plain write with fsync, rename and fsync of the
// folder, plain writes without a sync, a plain local socket. Nothing is added for reading files,
// opening databases or signing, so the bound is hard, and only a step that does things at the same
// time gets past it. Ratio is bound / time: 1 is as fast as the parts, goal is the least ratio wanted.
// The parts of each bound are listed below the table.
//
// # How it is measured
//
// Data are random. In every round our step and then each raw part has its turn, after a sync of the
// disk and a pause in which what the step before left behind comes to rest. In the first round each
// raw part runs in several forms (buffer sizes, goroutines, transfers at a time), and the fastest goes
// on. Times of a step and of each part are those of its best round, because on a shared computer noise
// only ever adds. Puts and round trips are short: these alternate one by one, a few hundred times, and
// the medians are compared, of the raw part the one of its fastest form; the notes say so.
//
// CPU is the same ratio in processor time of all processes taken together. On a busy computer it is
// the steadier of the two; it says nothing where a step waits for the disk.
//
// On an ext4 without a journal the kernel leaves inodes alone for some minutes after their files were
// deleted, and steps over them one by one for each file that is made in the same part of the disk. Where
// much was deleted lately, -dir had better be a new folder in the root of such a disk: new ones there are
// put into parts of their own.
//
// The peers are real processes of this same program, each with a data directory and an address of its
// own. All of them end with the bench, also when it is killed; its temporary folder goes with it unless
// it is killed.
package main
