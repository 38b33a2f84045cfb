// Package config answers: what did the operator choose?
//
// A setting comes from a flag, else from the environment (TESSERAS_NETWORK__LISTEN), else from a TOML
// file, else from the defaults, which alone make a working node. Every complaint names the key, its
// value and where it was set; a key nobody knows is a complaint that names the nearest known one.
//
// It is the one home of koanf.
package config
