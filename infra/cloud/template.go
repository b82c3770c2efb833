package cloud

import (
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.yaml.in/yaml/v3"

	"latchkey/pkg/clock"
)

// API returns the template's REST API with these handlers, by function name.
func (t *Template) API(functions map[string]lambda.Handler) API {
	api := API{
		ID: "latchkey", Stage: t.Stage, Routes: t.Routes, Functions: functions, Timeouts: map[string]time.Duration{},
		Responses: t.Responses, BinaryMediaTypes: t.BinaryMediaTypes, Clock: clock.System{},
	}
	for name, f := range t.Functions {
		api.Timeouts[name] = f.Timeout
	}
	return api
}

// Guard returns a DynamoDB HTTP client that may do what the function's policy in the template
// allows. Without it, a missing action would fail only in AWS.
func (f Function) Guard(next dynamodb.HTTPClient) dynamodb.HTTPClient {
	return guard{f, next}
}

// GuardMail is Guard for SES.
func (f Function) GuardMail(next aws.HTTPClient) aws.HTTPClient { return mailGuard{f, next} }

// GuardPlans is Guard for EventBridge Scheduler. Passing a role to a schedule is an action of its
// own.
func (f Function) GuardPlans(next aws.HTTPClient) aws.HTTPClient { return planGuard{f, next} }

// next returns the first time of the schedule after an instant.
func (s Schedule) next(after time.Time) time.Time {
	if s.Every > 0 {
		return after.Add(s.Every)
	}
	year, month, day := after.UTC().Date()
	at := time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Add(s.At)
	if !at.After(after) {
		at = at.AddDate(0, 0, 1)
	}
	return at
}

// Template holds the functions, routes, gateway responses and schedules of template.yaml and the
// templates that it nests, without what their conditions exclude. The local cloud has no other
// source for them, so it cannot drift from the deployment.
type Template struct {
	Stage            string
	Functions        map[string]Function // by name
	Routes           []Route
	Responses        map[string]GatewayResponse // by type, such as DEFAULT_4XX
	BinaryMediaTypes []string
	StateMachines    map[string]StateMachine // by function
	Schedules        []Schedule
	Queues           map[string]Queue // by ARN
	Mappings         []Mapping
	// Streams pass the records of the table's stream to functions.
	Streams []StreamMapping
	// Throttles are the limits of methods, and of all others under the path /* and the method *.
	Throttles []MethodThrottle
}

// Function is one AWS::Serverless::Function. Its name is that of the package in its CodeUri.
type Function struct {
	Name    string
	Timeout time.Duration
	// Environment lacks the variables that only a deployment knows, such as the table's name and
	// the pepper. Deployment has their names, and the caller supplies their values.
	Environment map[string]string
	Deployment  []string
	// Permissions are the actions that the function's policies allow.
	Permissions []Permission
	// Reserved is how many executions at a time are kept for the function, and its most; 0 for none.
	Reserved int
}

// Permission allows an action, such as dynamodb:Query, on the table or on its indexes.
type Permission struct {
	Action string
	Index  bool
	// Old says that the table is not the function's own but that of the variable OLD_TABLE.
	Old bool
	// Keys are patterns for partition keys (dynamodb:LeadingKeys), in order and with spaces between them, ""
	// for any.
	Keys string
	// Attributes are the only attributes that a request may name (dynamodb:Attributes), in order and
	// with spaces between them, "" for any.
	Attributes string
	// Returns is the only value of dynamodb:ReturnValues, "" for any.
	Returns string
	// Log is the log group of an action of CloudWatch Logs.
	Log string
	// Source is the only source of events (events:source), "" for any.
	Source string
}

// A MethodThrottle limits the requests to a method of a path, or to each method of each path: Rate a
// second, and up to Burst at once.
type MethodThrottle struct {
	Path, Method string
	Rate         float64
	Burst        int
}

// Route sends a method (ANY for all others) of a resource to a function.
type Route struct{ Method, Path, Function string }

// StateMachine is one AWS::Serverless::StateMachine, which drives one function.
type StateMachine struct {
	ARN, Function string
	// File holds the definition. Substitutions replace names in it.
	File          string
	Substitutions map[string]string
}

// Machines returns the functions behind the state machines, by ARN.
func (t *Template) Machines() map[string]string {
	functions := map[string]string{}
	for function, m := range t.StateMachines {
		functions[m.ARN] = function
	}
	return functions
}

// Definition returns the definition as it is deployed.
func (m StateMachine) Definition() (string, error) {
	raw, err := os.ReadFile(m.File)
	if err != nil {
		return "", fmt.Errorf("read state machine: %w", err)
	}
	var missing error
	text := reference.ReplaceAllStringFunc(string(raw), func(ref string) string {
		name := ref[2 : len(ref)-1]
		value, ok := m.Substitutions[name]
		if !ok {
			missing = errors.Join(missing, fmt.Errorf("read state machine %s: nothing to substitute for %s", m.File, name))
		}
		return value
	})
	return text, missing
}

// Schedule starts a function, through its state machine, at the same time every day, or directly after each
// span of time.
type Schedule struct {
	Function string
	// At is the time since midnight UTC.
	At time.Duration
	// Every is how often it starts the function instead, without a state machine.
	Every time.Duration
}

// GatewayResponse configures a reply that the gateway makes itself.
type GatewayResponse struct {
	StatusCode int // 0 keeps the status of the response type
	// Headers are quoted literals or references to the request's context.
	Headers map[string]string
	// Templates are bodies by content type.
	Templates map[string]string
}

// resource is the supported part of a resource. Values may be intrinsic functions, so they stay
// nodes until resolve.
type resource struct {
	Type       string `yaml:"Type"`
	Condition  string `yaml:"Condition"`
	Properties struct {
		functionProperties `yaml:",inline"`
		CodeURI            string      `yaml:"CodeUri"`
		Role               yaml.Node   `yaml:"Role"`
		Policies           []yaml.Node `yaml:"Policies"`
		ManagedPolicyArns  []yaml.Node `yaml:"ManagedPolicyArns"`
		PolicyDocument     grants      `yaml:"PolicyDocument"`
		Events             map[string]struct {
			Type       string `yaml:"Type"`
			Properties struct {
				Path   string `yaml:"Path"`
				Method string `yaml:"Method"`

				Queue     yaml.Node `yaml:"Queue"`
				BatchSize int       `yaml:"BatchSize"`
				Schedule  string    `yaml:"ScheduleExpression"`
			} `yaml:"Properties"`
		} `yaml:"Events"`

		Name                    yaml.Node            `yaml:"Name"`
		DefinitionURI           string               `yaml:"DefinitionUri"`
		DefinitionSubstitutions map[string]yaml.Node `yaml:"DefinitionSubstitutions"`

		ScheduleExpression         yaml.Node `yaml:"ScheduleExpression"`
		ScheduleExpressionTimezone string    `yaml:"ScheduleExpressionTimezone"`
		Target                     struct {
			Arn   yaml.Node `yaml:"Arn"`
			Input string    `yaml:"Input"`
		} `yaml:"Target"`

		// TemplateURL is the file of a nested template.
		TemplateURL string               `yaml:"TemplateURL"`
		Location    string               `yaml:"Location"`
		Parameters  map[string]yaml.Node `yaml:"Parameters"`

		FifoQueue                 bool `yaml:"FifoQueue"`
		ContentBasedDeduplication bool `yaml:"ContentBasedDeduplication"`
		VisibilityTimeout         int  `yaml:"VisibilityTimeout"`
		RedrivePolicy             struct {
			DeadLetterTarget yaml.Node `yaml:"deadLetterTargetArn"`
			MaxReceiveCount  int       `yaml:"maxReceiveCount"`
		} `yaml:"RedrivePolicy"`

		FunctionName      yaml.Node `yaml:"FunctionName"`
		StartingPosition  string    `yaml:"StartingPosition"`
		BatchSize         int       `yaml:"BatchSize"`
		RetryAttempts     int       `yaml:"MaximumRetryAttempts"`
		RecordAge         int       `yaml:"MaximumRecordAgeInSeconds"`
		Bisect            bool      `yaml:"BisectBatchOnFunctionError"`
		ResponseTypes     []string  `yaml:"FunctionResponseTypes"`
		DestinationConfig struct {
			OnFailure struct {
				Destination yaml.Node `yaml:"Destination"`
			} `yaml:"OnFailure"`
		} `yaml:"DestinationConfig"`
		FilterCriteria struct {
			Filters []struct {
				Pattern string `yaml:"Pattern"`
			} `yaml:"Filters"`
		} `yaml:"FilterCriteria"`

		MethodSettings []struct {
			ResourcePath         string    `yaml:"ResourcePath"`
			HTTPMethod           string    `yaml:"HttpMethod"`
			ThrottlingRateLimit  yaml.Node `yaml:"ThrottlingRateLimit"`
			ThrottlingBurstLimit yaml.Node `yaml:"ThrottlingBurstLimit"`
		} `yaml:"MethodSettings"`

		StageName        yaml.Node `yaml:"StageName"`
		BinaryMediaTypes []string  `yaml:"BinaryMediaTypes"`
		GatewayResponses map[string]struct {
			StatusCode         string            `yaml:"StatusCode"`
			ResponseTemplates  map[string]string `yaml:"ResponseTemplates"`
			ResponseParameters struct {
				Headers map[string]yaml.Node `yaml:"Headers"`
			} `yaml:"ResponseParameters"`
		} `yaml:"GatewayResponses"`
	} `yaml:"Properties"`
}

type functionProperties struct {
	Timeout     int       `yaml:"Timeout"`
	Reserved    yaml.Node `yaml:"ReservedConcurrentExecutions"`
	Environment struct {
		Variables map[string]yaml.Node `yaml:"Variables"`
	} `yaml:"Environment"`
}

type grants struct {
	Statement []struct {
		Effect   string    `yaml:"Effect"`
		Action   yaml.Node `yaml:"Action"`
		Resource yaml.Node `yaml:"Resource"`
		// Condition is keyed by operator, then by condition key.
		Condition map[string]map[string]yaml.Node `yaml:"Condition"`
	} `yaml:"Statement"`
}

// permissions evaluates the statements with the values that s knows.
func (d grants) permissions(s *stack) ([]Permission, error) {
	var out []Permission
	for _, statement := range d.Statement {
		if statement.Effect != "Allow" {
			return nil, fmt.Errorf("policy effect %s is not supported", statement.Effect)
		}
		condition := func(operator, key string) string {
			value := statement.Condition[operator][key]
			return strings.Join(slices.Sorted(slices.Values(scalars(&value))), " ")
		}
		limit := Permission{
			Keys:       condition("ForAllValues:StringLike", "dynamodb:LeadingKeys"),
			Attributes: condition("ForAllValues:StringEquals", "dynamodb:Attributes"),
			Returns:    condition("StringEqualsIfExists", "dynamodb:ReturnValues"),
			Source:     condition("StringEquals", "events:source"),
		}
		for _, limit.Action = range scalars(&statement.Action) {
			for _, resource := range scalars(&statement.Resource) {
				limit.Index, limit.Old = strings.Contains(resource, "/index/"), strings.HasSuffix(resource, "/${OldTable}")
				if strings.HasPrefix(limit.Action, "logs:") {
					resource, _ := s.resolve(&statement.Resource)
					_, limit.Log, _ = strings.Cut(resource, ":log-group:")
				}
				out = append(out, limit)
			}
		}
	}
	return out, nil
}

// defaultTimeout is Lambda's, in seconds (AWS::Lambda::Function, Timeout).
const defaultTimeout = 3

// ReadTemplate reads a SAM template and the templates that it nests. parameters override its
// defaults.
func ReadTemplate(file string, parameters map[string]string) (*Template, error) {
	t := &Template{
		Functions: map[string]Function{}, Responses: map[string]GatewayResponse{}, StateMachines: map[string]StateMachine{},
		Queues: map[string]Queue{},
	}
	given := map[string]*string{}
	for name, value := range parameters {
		given[name] = &value
	}
	reader := &reader{Template: t, policies: map[string][]Permission{}, roles: map[string]func() ([]Permission, error){}}
	s, err := reader.open("latchkey", file, given)
	if err == nil {
		err = s.read()
	}
	if err = errors.Join(err, reader.faults); err != nil {
		return nil, fmt.Errorf("read template: %w", err)
	}
	return t, nil
}

// function returns the name of an AWS::Serverless::Function, "" without a CodeUri.
func (r resource) function() string {
	if r.Properties.CodeURI == "" {
		return ""
	}
	return strings.TrimSuffix(path.Base(r.Properties.CodeURI), ".zip")
}

var daily = regexp.MustCompile(`^cron\((\d{1,2}) (\d{1,2}) \* \* \? \*\)$`)

// scheduledInput is the only supported input of a schedule. EventBridge Scheduler fills it in; so
// does scheduler.
const scheduledInput = `{"time":"<aws.scheduler.scheduled-time>"}`

// expand puts what an alias stands for in its place, as SAM does when it packages a template.
func expand(n *yaml.Node) {
	for i, child := range n.Content {
		if child.Kind == yaml.AliasNode {
			n.Content[i] = child.Alias
		} else {
			expand(child)
		}
	}
}

func scalars(n *yaml.Node) []string {
	if n.Kind == yaml.ScalarNode {
		return []string{n.Value}
	}
	var out []string
	for _, child := range n.Content {
		out = append(out, scalars(child)...)
	}
	return out
}

var reference = regexp.MustCompile(`\$\{([A-Za-z0-9:.]+)\}`)
