# Two ways in, both with authorization:
#
# - The HTTP API is one address for writers and readers, with IAM or JWT. It passes whole answers, up to 6 MB and 29 s.
# - The function URL of query streams answers of any size for up to the function's time limit, with IAM alone.
#
# Routes are named one by one, so that a policy or a scope can tell reading from writing.

locals {
  push_routes = toset([
    "POST /api/v1/otlp/v1/metrics",
    "POST /api/v1/write",
  ])

  query_routes = toset(concat(
    ["GET /", "GET /{proxy+}"],
    [for path in [
      "explain", "format_query", "labels", "parse_query", "query", "query_cost", "query_exemplars", "query_range", "query_range_cost", "read", "series",
    ] : "POST /api/v1/${path}"],
  ))

  routes = merge(
    { for route in local.push_routes : route => "push" },
    { for route in local.query_routes : route => "query" },
  )

  jwt    = var.authorization.type == "JWT"
  scopes = { push = var.authorization.push_scopes, query = var.authorization.query_scopes }
}

resource "aws_apigatewayv2_api" "this" {
  name          = var.name
  description   = "Varve: the API of Prometheus, remote write and OTLP."
  protocol_type = "HTTP"
  tags          = local.tags
}

resource "aws_apigatewayv2_authorizer" "jwt" {
  count = local.jwt ? 1 : 0

  api_id           = aws_apigatewayv2_api.this.id
  name             = "jwt"
  authorizer_type  = "JWT"
  identity_sources = ["$request.header.Authorization"]

  jwt_configuration {
    issuer   = var.authorization.issuer
    audience = var.authorization.audience
  }
}

resource "aws_apigatewayv2_integration" "this" {
  for_each = local.scopes

  api_id                 = aws_apigatewayv2_api.this.id
  integration_type       = "AWS_PROXY"
  integration_method     = "POST"
  integration_uri        = module.function[each.key].invoke_arn
  payload_format_version = "2.0"
  timeout_milliseconds   = 30000
}

resource "aws_apigatewayv2_route" "this" {
  for_each = local.routes

  api_id               = aws_apigatewayv2_api.this.id
  route_key            = each.key
  target               = "integrations/${aws_apigatewayv2_integration.this[each.value].id}"
  authorization_type   = local.jwt ? "JWT" : "AWS_IAM"
  authorizer_id        = local.jwt ? aws_apigatewayv2_authorizer.jwt[0].id : null
  authorization_scopes = local.jwt ? local.scopes[each.value] : null
}

resource "aws_cloudwatch_log_group" "http" {
  name              = "/aws/apigateway/${var.name}"
  retention_in_days = var.log_retention_days
  tags              = local.tags
}

resource "aws_apigatewayv2_stage" "this" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true
  tags        = local.tags

  default_route_settings {
    throttling_rate_limit  = var.http_limits.rate
    throttling_burst_limit = var.http_limits.burst
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.http.arn
    # No query strings and no headers: the one may hold labels of customers, the others credentials.
    format = jsonencode({
      bytes     = "$context.responseLength"
      caller    = "$context.identity.caller"
      error     = "$context.error.message"
      ip        = "$context.identity.sourceIp"
      latencyMs = "$context.responseLatency"
      requestId = "$context.requestId"
      route     = "$context.routeKey"
      status    = "$context.status"
      time      = "$context.requestTime"
    })
  }
}

resource "aws_lambda_permission" "http" {
  for_each = local.scopes

  statement_id  = "http-api"
  action        = "lambda:InvokeFunction"
  function_name = module.function[each.key].name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this.execution_arn}/*/*"
}

resource "aws_lambda_function_url" "query" {
  function_name      = module.function["query"].name
  authorization_type = "AWS_IAM"
  invoke_mode        = "RESPONSE_STREAM"
}

# For callers: to be attached to the roles or users that read or write.

resource "aws_iam_policy" "query" {
  name        = "${var.name}-query-clients"
  description = "May query Varve ${var.name}."
  tags        = local.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "HttpApi"
        Effect = "Allow"
        Action = ["execute-api:Invoke"]
        Resource = concat(
          ["${aws_apigatewayv2_api.this.execution_arn}/$default/GET/*"],
          [for route in local.query_routes : "${aws_apigatewayv2_api.this.execution_arn}/$default/${replace(route, " ", "")}" if startswith(route, "POST ")],
        )
      },
      {
        Sid      = "FunctionUrl"
        Effect   = "Allow"
        Action   = ["lambda:InvokeFunctionUrl"]
        Resource = [module.function["query"].arn]
        Condition = {
          StringEquals = { "lambda:FunctionUrlAuthType" = "AWS_IAM" }
        }
      },
      {
        # Function URLs made since October 2025 ask for this one too.
        Sid      = "FunctionByUrl"
        Effect   = "Allow"
        Action   = ["lambda:InvokeFunction"]
        Resource = [module.function["query"].arn]
        Condition = {
          Bool = { "lambda:InvokedViaFunctionUrl" = "true" }
        }
      },
    ]
  })
}

resource "aws_iam_policy" "push" {
  name        = "${var.name}-push-clients"
  description = "May write to Varve ${var.name}."
  tags        = local.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "HttpApi"
      Effect   = "Allow"
      Action   = ["execute-api:Invoke"]
      Resource = [for route in local.push_routes : "${aws_apigatewayv2_api.this.execution_arn}/$default/${replace(route, " ", "")}"]
    }]
  })
}
