// Package httpapi translates between API Gateway and the use cases: requests
// and console payloads to domain values, domain values to replies, errors to
// statuses, and authorizer events to policies. The wire format is GitLab's.
//
// Start with call (call.go), which is one request, and with the table of routes
// of a function, such as (*tokensAPI).routes: Issue, Revoke, Tokens, Directory,
// Settings and Leaks return the Handler of a function's routes, and Lambda turns
// one into a Lambda handler.
//
// The package promises that a path is routed in its encoded form, that status.go
// and the words of a route choose the status of every error, and that neither a
// bearer nor a query string nor a body is logged.
package httpapi
