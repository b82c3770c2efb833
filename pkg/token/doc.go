// Package token has the token record, its rules and states, and the error
// families that the whole product shares.
//
// Start with Token and its StateAt, the only judge of whether a record is
// active, expired or revoked. Days are UTC days and instants are UTC instants
// of whole seconds; a token is good while now is before the first second of
// the day it expires on. The package does no I/O and reads no clock.
package token
