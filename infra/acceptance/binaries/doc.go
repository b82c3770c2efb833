// Package binaries holds no code. Its test builds every function as it is deployed, for this machine, and runs the
// binaries under Lambda's runtime API: every sample event, in a new process and in one that has answered before, against
// DynamoDB Local, with the environment and the permissions of the templates.
package binaries
