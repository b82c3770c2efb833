// Package secret makes, parses and digests bearers.
//
// A bearer is `<prefix><hint><random><checksum>` in base 62: the owner's id in 3 characters (6 for
// owners beyond the first 238,327), 160 random bits in 27, and the CRC-32 (IEEE) of everything
// before it, prefix included, in 6. Start with New to make one, Format.Parse to accept one from a
// client, and Pepper.Digest for the form to store.
//
// The package promises that a Bearer, a Digest and a Pepper never print themselves, and that Parse
// accepts exactly one spelling of a value. It does no I/O and does not decide whether a bearer is
// good; package verify does.
package secret
