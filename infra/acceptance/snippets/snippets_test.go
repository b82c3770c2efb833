//go:build acceptance

package snippets_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey/infra/cloud/tabledef"
	"latchkey/infra/local/localtest"
)

// A meaning is what a snippet asks API Gateway for, as far as Latchkey depends on it.
type meaning struct {
	Rest, HTTP authorizer
	// Routes say how each route is authorized.
	Routes map[string]string
	// Responses are the gateway responses of the REST API.
	Responses map[string]response
}

type authorizer struct {
	Type, Identity string
	Seconds        int // how long answers are kept
	Payload        string
	Simple         bool
	// Asks says that it calls Latchkey's function.
	Asks bool
}

type response struct{ Status, Challenge, Body string }

// wanted is what docs/authorizer.md asks for: no identity source, and no answer is kept.
var wanted = meaning{
	Rest:   authorizer{Type: "REQUEST", Asks: true},
	HTTP:   authorizer{Type: "REQUEST", Payload: "2.0", Simple: true, Asks: true},
	Routes: map[string]string{"rest GET /orders/{id}": "CUSTOM", "http GET /orders/{id}": "CUSTOM"},
	Responses: map[string]response{
		"UNAUTHORIZED":                   {"401", `'Bearer realm="Latchkey"'`, `{"message":"401 Unauthorized"}`},
		"ACCESS_DENIED":                  {"403", "context.authorizer.refusal_challenge", "$context.authorizer.refusal_body"},
		"AUTHORIZER_FAILURE":             {"500", "", `{"message":"500 Internal Server Error"}`},
		"AUTHORIZER_CONFIGURATION_ERROR": {"500", "", `{"message":"500 Internal Server Error"}`},
	},
}

// TestSAM translates the snippet as CloudFormation would.
func TestSAM(t *testing.T) {
	t.Parallel()
	root := repository(t)
	snippet := filepath.Join(root, "infra", "snippets", "sam.yaml")
	output(t, nil, filepath.Join(root, ".tools", "venv", "bin", "cfn-lint"), snippet)
	template := object(t, output(t, []string{"AWS_DEFAULT_REGION=eu-central-1"}, filepath.Join(root, ".tools", "venv", "bin", "python"), "-c", `
import json, logging, sys
logging.disable(logging.WARNING)
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse
print(json.dumps(Translator({}, Parser()).translate(yaml_parse(open(sys.argv[1]).read()), {})))`, snippet))
	got := meaning{Routes: map[string]string{}, Responses: map[string]response{}}
	for _, resource := range at[map[string]any](template, "Resources") {
		body := at[map[string]any](resource, "Properties", "Body")
		switch at[string](resource, "Type") {
		case "AWS::ApiGateway::RestApi":
			got.Rest = openAPI(at[map[string]any](body, "securityDefinitions", "Latchkey"))
			routes(got.Routes, "rest", body)
			for name, one := range at[map[string]any](body, "x-amazon-apigateway-gateway-responses") {
				got.Responses[name] = response{
					at[string](one, "statusCode"), at[string](one, "responseParameters", "gatewayresponse.header.WWW-Authenticate"),
					at[string](one, "responseTemplates", "application/json"),
				}
			}
		case "AWS::ApiGatewayV2::Api":
			got.HTTP = openAPI(at[map[string]any](body, "components", "securitySchemes", "Latchkey"))
			routes(got.Routes, "http", body)
		case "AWS::Lambda::Permission": // one for each API would fill the policy of the authorizer
			if at[string](resource, "Properties", "FunctionName", "Ref") == "LatchkeyAuthorizerArn" {
				t.Error("a permission to call the authorizer is for one API")
			}
		}
	}
	// Breaks if a browser's preflight, which carries no bearer, is refused.
	const preflight = "rest OPTIONS /orders/{id}"
	if got.Routes[preflight] != "NONE" {
		t.Errorf("%s is authorized by %q", preflight, got.Routes[preflight])
	}
	delete(got.Routes, preflight)
	compare(t, got)
}

// openAPI reads an authorizer of an OpenAPI definition.
func openAPI(scheme map[string]any) authorizer {
	definition := scheme["x-amazon-apigateway-authorizer"]
	return authorizer{
		Type: strings.ToUpper(at[string](definition, "type")), Identity: at[string](definition, "identitySource"),
		Seconds: seconds(definition, "authorizerResultTtlInSeconds"), Payload: at[string](definition, "authorizerPayloadFormatVersion"),
		Simple: at[bool](definition, "enableSimpleResponses"), Asks: asks(at[any](definition, "authorizerUri")),
	}
}

// routes reads the operations of an OpenAPI definition.
func routes(found map[string]string, api string, body map[string]any) {
	for path, methods := range at[map[string]any](body, "paths") {
		for method, operation := range methods.(map[string]any) {
			if one := at[[]any](operation, "security"); len(one) == 1 && at[any](one[0], "Latchkey") != nil {
				found[api+" "+strings.ToUpper(method)+" "+path] = "CUSTOM"
			} else {
				found[api+" "+strings.ToUpper(method)+" "+path] = "NONE"
			}
		}
	}
}

// Breaks if the rule that docs/events.md shows is refused when somebody deploys it.
func TestHook(t *testing.T) {
	t.Parallel()
	root := repository(t)
	output(t, nil, filepath.Join(root, ".tools", "venv", "bin", "cfn-lint"), filepath.Join(root, "infra", "snippets", "hook.yaml"))
}

// TestCDK synthesizes the snippet and checks the template that comes out.
func TestCDK(t *testing.T) {
	t.Parallel()
	root, out := repository(t), t.TempDir()
	output(t, []string{"NODE_PATH=" + filepath.Join(root, ".tools", "cdk", "node_modules"), "CDK_OUTDIR=" + out},
		localtest.Node(t), filepath.Join(root, "infra", "snippets", "cdk.cjs"))
	file := filepath.Join(out, "Orders.template.json")
	// The CDK itself says which role a function depends on, though it also refers to it.
	output(t, nil, filepath.Join(root, ".tools", "venv", "bin", "cfn-lint"), "--ignore-checks", "W3005", "--", file)
	raw, err := os.ReadFile(file)
	check(t, err)
	got := meaning{Routes: map[string]string{}, Responses: map[string]response{}}
	resources := at[map[string]any](object(t, raw), "Resources")
	for _, resource := range resources {
		properties := at[map[string]any](resource, "Properties")
		text := func(name string) string { return at[string](properties, name) }
		switch at[string](resource, "Type") {
		case "AWS::ApiGateway::Authorizer":
			got.Rest = authorizer{
				Type: text("Type"), Identity: text("IdentitySource"), Seconds: seconds(properties, "AuthorizerResultTtlInSeconds"),
				Asks: asks(properties["AuthorizerUri"]),
			}
		case "AWS::ApiGateway::Method":
			got.Routes["rest "+text("HttpMethod")+" "+pathOf(resources, at[string](properties, "ResourceId", "Ref"))] = text("AuthorizationType")
		case "AWS::ApiGateway::GatewayResponse":
			got.Responses[text("ResponseType")] = response{
				text("StatusCode"), at[string](properties, "ResponseParameters", "gatewayresponse.header.WWW-Authenticate"),
				at[string](properties, "ResponseTemplates", "application/json"),
			}
		case "AWS::ApiGatewayV2::Authorizer":
			got.HTTP = authorizer{
				Type: text("AuthorizerType"), Identity: strings.Join(words(properties["IdentitySource"]), ","),
				Seconds: seconds(properties, "AuthorizerResultTtlInSeconds"), Payload: text("AuthorizerPayloadFormatVersion"),
				Simple: at[bool](properties, "EnableSimpleResponses"), Asks: asks(properties["AuthorizerUri"]),
			}
		case "AWS::ApiGatewayV2::Route":
			got.Routes["http "+text("RouteKey")] = text("AuthorizationType")
		}
	}
	compare(t, got)
}

// pathOf returns the path of a resource of a REST API.
func pathOf(resources map[string]any, name string) string {
	properties := at[map[string]any](resources[name], "Properties")
	if properties == nil {
		return ""
	}
	return pathOf(resources, at[string](properties, "ParentId", "Ref")) + "/" + at[string](properties, "PathPart")
}

// TestTerraform parses the snippet and reads what its resources say. Terraform and its provider are in no registry that
// the tests may ask, so nothing checks the names of attributes but this list of those that the provider documents.
func TestTerraform(t *testing.T) {
	t.Parallel()
	root := repository(t)
	file := object(t, output(t, nil, filepath.Join(root, ".tools", "proxies", "bin", "hcl2tojson"), filepath.Join(root, "infra", "snippets", "terraform.tf")))
	got := meaning{Routes: map[string]string{}, Responses: map[string]response{}}
	for _, block := range at[[]any](file, "resource") {
		for kind, named := range block.(map[string]any) {
			for name, resource := range named.(map[string]any) {
				kind, name := plain(kind), plain(name)
				text := func(name string) string { return plain(at[any](resource, name)) }
				for attribute := range resource.(map[string]any) {
					if !strings.HasPrefix(attribute, "__") && !slices.Contains(strings.Fields(attributes[kind]+" for_each depends_on lifecycle"), attribute) {
						t.Errorf("%s.%s: the provider has no attribute %s", kind, name, attribute)
					}
				}
				switch kind {
				case "aws_api_gateway_authorizer":
					if at[any](resource, "identity_source") == nil {
						t.Error("without an identity source, the provider says method.request.header.Authorization")
					}
					got.Rest = authorizer{
						Type: text("type"), Identity: text("identity_source"), Seconds: seconds(resource, "authorizer_result_ttl_in_seconds"),
						Asks: text("authorizer_uri") == "${local.latchkey_uri}",
					}
				case "aws_apigatewayv2_authorizer":
					got.HTTP = authorizer{
						Type: text("authorizer_type"), Identity: strings.Join(words(at[any](resource, "identity_sources")), ","),
						Seconds: seconds(resource, "authorizer_result_ttl_in_seconds"), Payload: text("authorizer_payload_format_version"),
						Simple: at[bool](resource, "enable_simple_responses"), Asks: text("authorizer_uri") == "${local.latchkey_uri}",
					}
				case "aws_api_gateway_method":
					got.Routes["rest "+text("http_method")+" /orders/{id}"] = text("authorization")
				case "aws_apigatewayv2_route":
					got.Routes["http "+text("route_key")] = text("authorization_type")
				}
			}
		}
	}
	locals := at[[]any](file, "locals")[0]
	if uri := plain(at[any](locals, "latchkey_uri")); !strings.Contains(uri, "/functions/${var.latchkey_authorizer_arn}/invocations") {
		t.Errorf("the authorizers call %s", uri)
	}
	for name, one := range at[map[string]any](locals, "refusals") {
		got.Responses[name] = response{plain(at[any](one, "status")), plain(at[any](one, "challenge")), plain(at[any](one, "body"))}
	}
	compare(t, got)
}

// attributes are those of each kind of resource that the provider hashicorp/aws 6 documents and the snippet may use.
var attributes = map[string]string{
	"aws_api_gateway_rest_api":         "name description",
	"aws_api_gateway_authorizer":       "name rest_api_id type authorizer_uri identity_source authorizer_result_ttl_in_seconds",
	"aws_api_gateway_resource":         "rest_api_id parent_id path_part",
	"aws_api_gateway_method":           "rest_api_id resource_id http_method authorization authorizer_id",
	"aws_api_gateway_integration":      "rest_api_id resource_id http_method integration_http_method type uri",
	"aws_api_gateway_gateway_response": "rest_api_id response_type status_code response_templates response_parameters",
	"aws_api_gateway_deployment":       "rest_api_id triggers",
	"aws_api_gateway_stage":            "rest_api_id deployment_id stage_name",
	"aws_apigatewayv2_api":             "name protocol_type",
	"aws_apigatewayv2_authorizer":      "name api_id authorizer_type authorizer_uri authorizer_payload_format_version enable_simple_responses authorizer_result_ttl_in_seconds identity_sources",
	"aws_apigatewayv2_integration":     "api_id integration_type integration_uri payload_format_version",
	"aws_apigatewayv2_route":           "api_id route_key target authorization_type authorizer_id",
	"aws_apigatewayv2_stage":           "api_id name auto_deploy",
	"aws_lambda_permission":            "action function_name principal source_arn",
}

// plain returns the text of a value of HCL, as the parser writes it: a literal keeps its quotes, and null is "".
func plain(value any) string {
	text, _ := value.(string)
	var literal string
	if json.Unmarshal([]byte(text), &literal) == nil {
		return literal
	}
	return text
}

// at returns what lies in a value at the end of keys, or the zero T.
func at[T any](value any, keys ...string) T {
	for _, key := range keys {
		members, _ := value.(map[string]any)
		value = members[key]
	}
	found, _ := value.(T)
	return found
}

// seconds returns a number that must be there: without it, API Gateway keeps answers for 300 seconds.
func seconds(value any, key string) int {
	if at[any](value, key) == nil {
		return 300
	}
	return int(at[float64](value, key))
}

func words(value any) (all []string) {
	list, _ := value.([]any)
	for _, one := range list {
		all = append(all, fmt.Sprint(one))
	}
	return all
}

var parameter = regexp.MustCompile(`"Ref": ?"LatchkeyAuthorizerArn"`)

// asks reports whether an address calls the function whose ARN is the parameter LatchkeyAuthorizerArn.
func asks(uri any) bool {
	raw, err := json.Marshal(uri)
	return err == nil && parameter.Match(raw) && strings.Contains(string(raw), "/invocations")
}

func compare(t *testing.T, got meaning) {
	t.Helper()
	if !reflect.DeepEqual(got, wanted) {
		t.Errorf("the snippet asks for\n%+v, want\n%+v", got, wanted)
	}
}

func object(t *testing.T, raw []byte) map[string]any {
	t.Helper()
	var value map[string]any
	check(t, json.Unmarshal(raw, &value))
	return value
}

// output runs a program that must succeed and returns what it prints.
func output(t *testing.T, environ []string, program string, arguments ...string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, arguments...)
	command.Env = append(os.Environ(), environ...)
	printed, err := command.Output()
	if err != nil {
		complaint := ""
		if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as Output documents it
			complaint = string(exit.Stderr)
		}
		t.Fatalf("%s: %v\n%s%s", filepath.Base(program), err, printed, complaint)
	}
	return printed
}

func repository(t *testing.T) string {
	t.Helper()
	table, err := tabledef.Path()
	check(t, err)
	return filepath.Dir(filepath.Dir(table))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
