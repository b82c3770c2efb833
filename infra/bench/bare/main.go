// Command bare is the yardstick of cold starts: the least authorizer that one can write in Go. It knows no
// tokens and refuses everybody.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	lambda.Start(func(_ context.Context, e events.APIGatewayCustomAuthorizerRequestTypeRequest) (events.APIGatewayCustomAuthorizerResponse, error) {
		return events.APIGatewayCustomAuthorizerResponse{
			PrincipalID: "nobody",
			PolicyDocument: events.APIGatewayCustomAuthorizerPolicy{Version: "2012-10-17", Statement: []events.IAMPolicyStatement{
				{Effect: "Deny", Action: []string{"execute-api:Invoke"}, Resource: []string{e.MethodArn}},
			}},
		}, nil
	})
}
