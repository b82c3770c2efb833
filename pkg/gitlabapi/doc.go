// Package gitlabapi speaks GitLab's token REST API: it translates requests and
// console payloads to domain values, domain values to replies, and errors to
// statuses and words.
//
// There is one constructor per function: Issue, Revoke, Tokens, Directory and
// Settings return the http.Handler of a function's routes, and Lambda turns one
// into a Lambda handler. The package promises that routing works on the
// encoded path, that one table (status.go) chooses every error status, and
// that neither a bearer nor a query string nor a body is logged.
package gitlabapi
