// Package httpapi translates between API Gateway and the use cases: requests
// and console payloads to domain values, domain values to replies, errors to
// statuses, and authorizer events to policies.
//
// There is one constructor per function: Issue, Revoke, Tokens, Directory and
// Settings return the http.Handler of a function's routes, Lambda turns one
// into a Lambda handler, and NewAuthorizer makes the custom authorizer. The
// wire format is GitLab's. The package promises that routing works on the
// encoded path, that one table (status.go) chooses every error status, and
// that neither a bearer nor a query string nor a body is logged.
package httpapi
