# A REST API and an HTTP API behind Latchkey's authorizer, with Terraform or OpenTofu. docs/authorizer.md says what each
# part is for. The function that answers is yours.

variable "latchkey_authorizer_arn" {
  description = "Output AuthorizerFunctionArn of Latchkey's stack, in the same account and region."
  type        = string
}

variable "orders_arn" {
  description = "The function that serves the orders."
  type        = string
}

variable "region" {
  type = string
}

locals {
  latchkey_uri = "arn:aws:apigateway:${var.region}:lambda:path/2015-03-31/functions/${var.latchkey_authorizer_arn}/invocations"
  orders_uri   = "arn:aws:apigateway:${var.region}:lambda:path/2015-03-31/functions/${var.orders_arn}/invocations"
  refusals = {
    UNAUTHORIZED                   = { status = "401", body = "{\"message\":\"401 Unauthorized\"}", challenge = "'Bearer realm=\"Latchkey\"'" }
    ACCESS_DENIED                  = { status = "403", body = "$context.authorizer.refusal_body", challenge = "context.authorizer.refusal_challenge" }
    AUTHORIZER_FAILURE             = { status = "500", body = "{\"message\":\"500 Internal Server Error\"}", challenge = null }
    AUTHORIZER_CONFIGURATION_ERROR = { status = "500", body = "{\"message\":\"500 Internal Server Error\"}", challenge = null }
  }
}

resource "aws_api_gateway_rest_api" "rest" {
  name = "orders"
}

resource "aws_api_gateway_authorizer" "latchkey" {
  name                             = "latchkey"
  rest_api_id                      = aws_api_gateway_rest_api.rest.id
  type                             = "REQUEST"
  authorizer_uri                   = local.latchkey_uri
  identity_source                  = "" # clients may send the bearer in any way; without this line, Terraform says Authorization
  authorizer_result_ttl_in_seconds = 0  # without this line, a revoked token can pass for 300 seconds
}

resource "aws_api_gateway_resource" "orders" {
  rest_api_id = aws_api_gateway_rest_api.rest.id
  parent_id   = aws_api_gateway_rest_api.rest.root_resource_id
  path_part   = "orders"
}

resource "aws_api_gateway_resource" "order" {
  rest_api_id = aws_api_gateway_rest_api.rest.id
  parent_id   = aws_api_gateway_resource.orders.id
  path_part   = "{id}"
}

resource "aws_api_gateway_method" "order" {
  rest_api_id   = aws_api_gateway_rest_api.rest.id
  resource_id   = aws_api_gateway_resource.order.id
  http_method   = "GET"
  authorization = "CUSTOM"
  authorizer_id = aws_api_gateway_authorizer.latchkey.id
}

resource "aws_api_gateway_integration" "order" {
  rest_api_id             = aws_api_gateway_rest_api.rest.id
  resource_id             = aws_api_gateway_resource.order.id
  http_method             = aws_api_gateway_method.order.http_method
  integration_http_method = "POST"
  type                    = "AWS_PROXY"
  uri                     = local.orders_uri
}

resource "aws_api_gateway_gateway_response" "refusal" {
  for_each            = local.refusals
  rest_api_id         = aws_api_gateway_rest_api.rest.id
  response_type       = each.key
  status_code         = each.value.status
  response_templates  = { "application/json" = each.value.body }
  response_parameters = each.value.challenge == null ? {} : { "gatewayresponse.header.WWW-Authenticate" = each.value.challenge }
}

resource "aws_api_gateway_deployment" "rest" {
  rest_api_id = aws_api_gateway_rest_api.rest.id
  depends_on  = [aws_api_gateway_integration.order, aws_api_gateway_gateway_response.refusal]

  # Terraform does not notice a change of what it deploys.
  triggers = {
    change = sha1(jsonencode([
      aws_api_gateway_authorizer.latchkey, aws_api_gateway_method.order, aws_api_gateway_integration.order,
      aws_api_gateway_gateway_response.refusal,
    ]))
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_api_gateway_stage" "prod" {
  rest_api_id   = aws_api_gateway_rest_api.rest.id
  deployment_id = aws_api_gateway_deployment.rest.id
  stage_name    = "prod"
}

resource "aws_apigatewayv2_api" "http" {
  name          = "orders"
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_authorizer" "latchkey" {
  name                              = "latchkey"
  api_id                            = aws_apigatewayv2_api.http.id
  authorizer_type                   = "REQUEST"
  authorizer_uri                    = local.latchkey_uri
  authorizer_payload_format_version = "2.0"
  enable_simple_responses           = true # as the parameter AuthorizerHttpApiResponse of Latchkey's stack says
  authorizer_result_ttl_in_seconds  = 0    # never keep answers of an HTTP API
}

resource "aws_apigatewayv2_integration" "orders" {
  api_id                 = aws_apigatewayv2_api.http.id
  integration_type       = "AWS_PROXY"
  integration_uri        = var.orders_arn
  payload_format_version = "2.0"
}

resource "aws_apigatewayv2_route" "order" {
  api_id             = aws_apigatewayv2_api.http.id
  route_key          = "GET /orders/{id}"
  target             = "integrations/${aws_apigatewayv2_integration.orders.id}"
  authorization_type = "CUSTOM"
  authorizer_id      = aws_apigatewayv2_authorizer.latchkey.id
}

resource "aws_apigatewayv2_stage" "default" {
  api_id      = aws_apigatewayv2_api.http.id
  name        = "$default"
  auto_deploy = true
}

resource "aws_lambda_permission" "orders" {
  for_each = {
    rest = "${aws_api_gateway_rest_api.rest.execution_arn}/*/GET/orders/*"
    http = "${aws_apigatewayv2_api.http.execution_arn}/*/GET/orders/*"
  }
  action        = "lambda:InvokeFunction"
  function_name = var.orders_arn
  principal     = "apigateway.amazonaws.com"
  source_arn    = each.value
}
