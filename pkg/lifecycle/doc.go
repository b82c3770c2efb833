// Package lifecycle issues, rotates, revokes and lists tokens.
//
// Start with Issuer to make tokens, Revoker to revoke them, Lister to see them.
// Every method takes the principal who asks and decides whether it may; the
// methods whose names end in ByConsole are for an operator with credentials
// of the AWS account and ask nothing. The package promises that a bearer
// leaves it once, in the Issued value, and that what is not the caller's to
// see is reported as not there. It speaks no HTTP and reads no environment.
package lifecycle
