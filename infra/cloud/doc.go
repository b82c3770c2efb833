// Package cloud imitates on one machine what Latchkey uses of AWS: API Gateway with a custom authorizer,
// the Lambda Invoke API, EventBridge schedules, and IAM's permissions, on one port. The packages below
// it imitate DynamoDB and SES.
//
// Start runs it with a function's handlers; ReadTemplate, NewGateway, Sample and InvokeAPI are its
// parts. Functions, routes, gateway responses, schedules and permissions come from template.yaml. A
// schedule calls its function until that is done, which is the state machine's part in AWS. The
// package promises the events, limits and replies of the real services as far as the functions and
// their callers can see them. It knows nothing of Latchkey, does not check AWS signatures, and is for
// one trusted machine only.
package cloud
