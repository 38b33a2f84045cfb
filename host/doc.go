// Package host answers: how do the rooms make a node?
//
// It is the composition root: the one package that sees every room, joins what one needs to what
// another offers, and owns their lifetimes. Open gives a whole node; OpenLocal the half of it that
// needs no network.
package host
