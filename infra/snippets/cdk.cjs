// A REST API and an HTTP API behind Latchkey's authorizer, with the CDK. docs/authorizer.md says what each part is for.
const { App, CfnParameter, Duration, Stack } = require("aws-cdk-lib");
const rest = require("aws-cdk-lib/aws-apigateway");
const http = require("aws-cdk-lib/aws-apigatewayv2");
const { HttpLambdaAuthorizer, HttpLambdaResponseType } = require("aws-cdk-lib/aws-apigatewayv2-authorizers");
const { HttpLambdaIntegration } = require("aws-cdk-lib/aws-apigatewayv2-integrations");
const lambda = require("aws-cdk-lib/aws-lambda");

class Orders extends Stack {
  constructor(scope, id, props) {
    super(scope, id, props);
    const latchkey = lambda.Function.fromFunctionAttributes(this, "Latchkey", {
      functionArn: new CfnParameter(this, "LatchkeyAuthorizerArn", {
        description: "Output AuthorizerFunctionArn of Latchkey's stack, in the same account and region.",
      }).valueAsString,
      skipPermissions: true, // Latchkey's stack lets every API of the account call it
    });
    const orders = new lambda.Function(this, "Orders", {
      runtime: lambda.Runtime.NODEJS_24_X,
      handler: "index.handler",
      code: lambda.Code.fromInline(
        "exports.handler = async event => ({ statusCode: 200, body: JSON.stringify(event.requestContext.authorizer) })",
      ),
    });

    const restApi = new rest.RestApi(this, "Rest", {
      deployOptions: { stageName: "prod" },
      defaultMethodOptions: {
        authorizationType: rest.AuthorizationType.CUSTOM,
        authorizer: new rest.RequestAuthorizer(this, "RestAuthorizer", {
          handler: latchkey,
          identitySources: [], // clients may send the bearer in any way
          resultsCacheTtl: Duration.seconds(0),
        }),
      },
    });
    restApi.root.addResource("orders").addResource("{id}").addMethod("GET", new rest.LambdaIntegration(orders));
    for (const [type, statusCode, body, challenge] of [
      [rest.ResponseType.UNAUTHORIZED, "401", '{"message":"401 Unauthorized"}', "'Bearer realm=\"Latchkey\"'"],
      [rest.ResponseType.ACCESS_DENIED, "403", "$context.authorizer.refusal_body", "context.authorizer.refusal_challenge"],
      [rest.ResponseType.AUTHORIZER_FAILURE, "500", '{"message":"500 Internal Server Error"}'],
      [rest.ResponseType.AUTHORIZER_CONFIGURATION_ERROR, "500", '{"message":"500 Internal Server Error"}'],
    ]) {
      restApi.addGatewayResponse(type.responseType, {
        type,
        statusCode,
        responseHeaders: challenge ? { "WWW-Authenticate": challenge } : undefined,
        templates: { "application/json": body },
      });
    }

    const httpApi = new http.HttpApi(this, "Http", {
      defaultAuthorizer: new HttpLambdaAuthorizer("HttpAuthorizer", latchkey, {
        responseTypes: [HttpLambdaResponseType.SIMPLE], // as the parameter AuthorizerHttpApiResponse of Latchkey's stack says
        identitySource: [],
        resultsCacheTtl: Duration.seconds(0), // never keep answers of an HTTP API
      }),
    });
    httpApi.addRoutes({
      path: "/orders/{id}",
      methods: [http.HttpMethod.GET],
      integration: new HttpLambdaIntegration("OrdersIntegration", orders),
    });
  }
}

const app = new App();
new Orders(app, "Orders");
app.synth();
