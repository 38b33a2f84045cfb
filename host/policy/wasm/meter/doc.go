// Package meter answers: how is a module that does not want to stop made to give way?
//
// It rewrites a module before it is compiled. Every function and every loop of it then pays for the
// code it is about to run from a counter; so do the instructions that move much memory at once. When
// the counter is used up, the module calls an empty function that the engine tells us about, and there
// the host looks whether the time is up.
//
// The engine's own switch for this checks loops alone, so that functions which only call each other
// could run for years, without even letting Go's collector in; and it leaves the compiled code at each
// turn of each loop, which makes a policy seven times slower.
//
// What a module says about itself is read on the way: its imports, exports, and how much it wants of
// what costs memory outside its linear memory. Tables get an upper bound, since the engine knows none.
//
// Source of the format: WebAssembly Core Specification 2.0, chapter 5. What goes beyond it (threads,
// exceptions, tail calls, garbage collection) is refused.
package meter
