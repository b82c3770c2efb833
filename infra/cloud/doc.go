// Package cloud imitates AWS on one machine, as far as Latchkey uses it: API Gateway with a custom
// authorizer, the Lambda Invoke API, EventBridge schedules and IAM permissions, all on one port.
// The packages below it imitate DynamoDB and SES.
//
// Start with Start, which serves the handlers of the functions. ReadTemplate, NewGateway, Sample
// and InvokeAPI are its parts. Functions, routes, gateway responses, schedules and permissions come
// from template.yaml. A schedule calls its function until the function reports that it is done, as
// the state machine does in AWS. The package promises the events, limits and replies of the real
// services as far as the functions and their callers can observe them. It does not depend on
// Latchkey's own packages, does not check AWS signatures, and is meant for one trusted machine
// only.
package cloud
