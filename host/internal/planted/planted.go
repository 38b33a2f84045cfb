// Package planted answers: would the tests notice?
//
// Its test plants known bugs in copies of the sources, builds the tests of the room over them and sees
// that the suite which is there to find such a bug does find it. The sources themselves carry no trace
// of it: the copies are laid over them by the go command.
package planted
