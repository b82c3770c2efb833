// Package token describes tokens: the record, its rules and states, and the errors about bearers.
//
// Start with Token. Its method StateAt alone decides whether a record is active, expired or
// revoked. Days are UTC days, and instants are UTC instants of whole seconds; a token is good while
// now is before the first second of the day it expires on. The package does no I/O and reads no
// clock.
package token
