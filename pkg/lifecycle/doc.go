// Package lifecycle issues, rotates, revokes and lists tokens.
//
// Start with Issuer to make tokens, Revoker to revoke them, Lister to see them. Every method takes
// the caller and decides whether the caller may. The methods whose names end in ByConsole serve an
// operator with credentials of the AWS account and check no rights. The package promises that a
// bearer leaves it once, in an Issued value, and that hidden tokens look as if they did not exist.
// It speaks no HTTP and reads no environment.
package lifecycle
