// Package gitlabapi speaks GitLab's token REST API: it translates requests and
// console payloads to domain values, domain values to replies, and errors to
// statuses and words.
//
// Start with the constructor of a function: Issue, Revoke, Tokens, Directory, Settings and Leaks
// return the http.Handler of a function's routes, and Lambda turns one into a Lambda handler. The
// package promises that routing works on the encoded path, that one table (status.go) chooses every
// error status, and that it never logs a bearer, a query string or a body. It decides nothing about
// tokens.
package gitlabapi
