// Package local is the whole cloud on one machine: the REST API, a sample API behind the Lambda
// authorizer, and the Lambda Invoke API, on one port, and the daily schedules. `make run` and the
// end-to-end tests use it.
//
// Start runs it with the product's handlers; ReadTemplate, NewGateway, Sample and InvokeAPI are its
// parts. Functions, routes, gateway responses, schedules and permissions come from template.yaml. A
// schedule calls its function until that is done, which is the state machine's part in the cloud. The
// package promises the events, limits and replies of the real services as far as the functions and
// their callers can see them. It does not check AWS signatures and it is for one trusted machine only.
package local
