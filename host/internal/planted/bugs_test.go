package planted

// bug is an edit of one source file. In it `planted("name")` is true while this very bug is planted:
// all bugs of a room are built into one binary.
type bug struct {
	name     string // of the bug, as the list of threats has it
	room     string // the package, below host
	file     string
	old, new string // old occurs exactly once
	also     []edit // of the same file
	found    string // the test that must fail
	sound    string // a quicker one of the same suite that passes where no bug is planted; empty is found
}

type edit struct{ old, new string }

// bugs are those of the list of threats.
var bugs = []bug{
	{
		name: "no file fsync", room: "cas", file: "receive.go", found: "TestPowerLoss", sound: "TestPowerLossOnFAT",
		old: "err := in.file.Sync()",
		new: `err := unless("no file fsync", in.file.Sync)`,
	},
	{
		name: "no dir fsync", room: "cas", file: "folders.go", found: "TestPowerLoss", sound: "TestPowerLossOnFAT",
		old: "g.Go(func() error { return f.fs.SyncDir(folderOf(h)) })",
		new: `g.Go(func() error { return unless("no dir fsync", func() error { return f.fs.SyncDir(folderOf(h)) }) })`,
	},
	{
		name: "ack before sync", room: "journal", file: "write.go", found: "TestPowerLoss",
		old: "if err := j.file.Sync(); err != nil {",
		new: `if err := unless("ack before sync", j.file.Sync); err != nil {`,
		also: []edit{{"if _, err := j.file.Write(b); err != nil {", `if planted("ack before sync") {
			_ = j.file.Sync() // of what was acknowledged before
		}
		if _, err := j.file.Write(b); err != nil {`}},
	},
	{
		name: "GC without recheck", room: "cas", file: "remove.go", found: "TestRemoveNeverTakesWhatIsNeeded",
		old: "needed, err := stillNeeded()",
		new: `needed, err := stillNeeded()
			if planted("GC without recheck") {
				needed = false
			}`,
	},
	{
		name: "no hash on read", room: "cas", file: "open.go", found: "TestRot",
		old: "case err == io.EOF:",
		new: `case err == io.EOF || planted("no hash on read") && errors.Is(err, digest.ErrMismatch):`,
	},
	{
		name: "no hash before decode", room: "fragment", file: "verify.go", found: "TestDamagedSpool",
		old: "if err := verify(ctx, plan.Fragments[index], plan.ShardSize(), r); err != nil {",
		new: `if err := verify(ctx, plan.Fragments[index], plan.ShardSize(), r); err != nil && !planted("no hash before decode") {`,
	},
	{
		name: "zero-length slice accepted", room: "digest", file: "bao.go", found: "TestRangesOutsideTheContent",
		old: "length < 1 ||",
		new: `length < 1 && !planted("zero-length slice accepted") ||`,
	},
	{
		name: "nonce reused", room: "repair", file: "audit.go", found: "TestEveryChallengeIsFresh",
		old: "} else {\n\t\t\tcrand.Read(r.Nonce[:])",
		new: "} else if !planted(\"nonce reused\") {\n\t\t\tcrand.Read(r.Nonce[:])",
	},
	{
		name: "no custody", room: "repair", file: "custody.go", found: "TestThrash", sound: "TestAColonyOutlivesWavesOfDeaths",
		old: "func (s *Service) Custody(ctx context.Context) error {\n",
		new: `func (s *Service) Custody(ctx context.Context) error {
	if planted("no custody") {
		return nil
	}
`,
	},
	{
		name: "a holder forgets", room: "repair", file: "trim.go", found: "TestThrash", sound: "TestAColonyOutlivesWavesOfDeaths",
		old: "if p.row.Copies > 1 {\n",
		new: `if planted("a holder forgets") {
		return s.Keeper.Yield(ctx, p.row.Tessera, p.mine[0])
	}
	if p.row.Copies > 1 {
`,
	},
	{
		name: "placed twice", room: "repair", file: "mend.go", found: "TestThrash", sound: "TestAColonyOutlivesWavesOfDeaths",
		old: "wanting, newcomers := report.Wanting()\n",
		new: `wanting, newcomers := report.Wanting()
	if planted("placed twice") {
		wanting = nil
		for i := range p.plan.Total() {
			wanting = append(wanting, health.Missing{Index: i, Copies: 1})
		}
	}
`,
	},
	{
		name: "ENOSPC ignored", room: "cas", file: "receive.go", found: "TestEveryOperationFailsOnce",
		old: "_, err = in.file.Write(room[:n])",
		new: `if _, err = in.file.Write(room[:n]); planted("ENOSPC ignored") { err = nil }`,
	},
	{
		name: "wall-clock expiry", room: "sweep", file: "clock.go", found: "TestALeapOfTheClockPostpones",
		old: "return drift.Abs() > tolerance",
		new: `return drift.Abs() > tolerance && !planted("wall-clock expiry")`,
	},
}

// switchboard is a file added to each room.
const switchboard = `
import "os"

// planted tells whether a bug is planted.
func planted(bug string) bool { return os.Getenv("` + envPlanted + `") == bug }

// unless does something unless a bug is planted.
func unless(bug string, do func() error) error {
	if planted(bug) {
		return nil
	}
	return do()
}
`
