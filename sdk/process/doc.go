// Package process answers: how does a policy run as a program that a node starts and asks?
//
// It is the program's side of hashicorp/go-plugin. In a WASM build it is empty, so that one main
// serves both: what is registered in init is exported there and served here.
package process
