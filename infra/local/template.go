package local

import (
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Template is what template.yaml and the templates that it nests say about functions, routes, gateway
// responses and schedules. The local cloud has no other source for them, so it cannot drift from what is
// deployed. What its conditions leave out is not here either.
type Template struct {
	Stage            string
	Functions        map[string]Function // by name
	Routes           []Route
	Responses        map[string]GatewayResponse // by type, such as DEFAULT_4XX
	BinaryMediaTypes []string
	StateMachines    map[string]StateMachine // by function
	Schedules        []Schedule
}

// Function is one AWS::Serverless::Function. Its name is the last folder of its CodeUri.
type Function struct {
	Name    string
	Timeout time.Duration
	// Environment lacks the variables that only a deployment knows, such as the table's name and the
	// pepper; whoever starts the function supplies them. Deployment has their names.
	Environment map[string]string
	Deployment  []string
	// Permissions are what its policies allow.
	Permissions []Permission
}

// Permission allows an action, such as dynamodb:Query, on the table or on its indexes.
type Permission struct {
	Action string
	Index  bool
	// Keys is what partition keys must be like (dynamodb:LeadingKeys), "" for any.
	Keys string
}

// Route sends a method (ANY for all others) of a resource to a function.
type Route struct{ Method, Path, Function string }

// StateMachine is one AWS::Serverless::StateMachine, which drives one function.
type StateMachine struct {
	ARN, Function string
	// File holds the definition, in which Substitutions take the place of their names.
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

// Definition reads the definition as it is deployed.
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

// Schedule starts a function, through its state machine, at a time of each day.
type Schedule struct {
	Function string
	// At is how long after midnight UTC.
	At time.Duration
}

// GatewayResponse is the shape of a reply that the gateway makes itself.
type GatewayResponse struct {
	StatusCode int // 0 leaves the status of the response type
	// Headers are quoted literals or references to the request's context.
	Headers map[string]string
	// Templates are bodies by content type.
	Templates map[string]string
}

// resource is the part of a resource that is read. Values may be intrinsic functions, so they stay
// nodes until resolve.
type resource struct {
	Type       string `yaml:"Type"`
	Condition  string `yaml:"Condition"`
	Properties struct {
		functionProperties `yaml:",inline"`
		CodeURI            string      `yaml:"CodeUri"`
		Policies           []yaml.Node `yaml:"Policies"`
		PolicyDocument     grants      `yaml:"PolicyDocument"`
		Events             map[string]struct {
			Type       string `yaml:"Type"`
			Properties struct {
				Path   string `yaml:"Path"`
				Method string `yaml:"Method"`
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

		// The file of a nested template.
		TemplateURL string               `yaml:"TemplateURL"`
		Location    string               `yaml:"Location"`
		Parameters  map[string]yaml.Node `yaml:"Parameters"`

		StageName        yaml.Node `yaml:"StageName"`
		BinaryMediaTypes []string  `yaml:"BinaryMediaTypes"`
		GatewayResponses map[string]struct {
			StatusCode         string            `yaml:"StatusCode"`
			ResponseTemplates  map[string]string `yaml:"ResponseTemplates"`
			ResponseParameters struct {
				Headers map[string]string `yaml:"Headers"`
			} `yaml:"ResponseParameters"`
		} `yaml:"GatewayResponses"`
	} `yaml:"Properties"`
}

type functionProperties struct {
	Timeout     int `yaml:"Timeout"`
	Environment struct {
		Variables map[string]yaml.Node `yaml:"Variables"`
	} `yaml:"Environment"`
}

type grants struct {
	Statement []struct {
		Effect   string    `yaml:"Effect"`
		Action   yaml.Node `yaml:"Action"`
		Resource yaml.Node `yaml:"Resource"`
		// Condition: by operator, then by key.
		Condition map[string]map[string]string `yaml:"Condition"`
	} `yaml:"Statement"`
}

// permissions are what the document allows.
func (d grants) permissions() ([]Permission, error) {
	var out []Permission
	for _, statement := range d.Statement {
		if statement.Effect != "Allow" {
			return nil, fmt.Errorf("policy effect %s is not supported", statement.Effect)
		}
		keys := statement.Condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
		for _, action := range scalars(&statement.Action) {
			for _, resource := range scalars(&statement.Resource) {
				out = append(out, Permission{action, strings.Contains(resource, "/index/"), keys})
			}
		}
	}
	return out, nil
}

// defaultTimeout is Lambda's, in seconds (AWS::Lambda::Function, Timeout).
const defaultTimeout = 3

// ReadTemplate reads a SAM template and those that it nests. parameters take the place of its defaults.
func ReadTemplate(file string, parameters map[string]string) (*Template, error) {
	t := &Template{
		Functions: map[string]Function{}, Responses: map[string]GatewayResponse{}, StateMachines: map[string]StateMachine{},
	}
	given := map[string]*string{}
	for name, value := range parameters {
		given[name] = &value
	}
	reader := &reader{Template: t, policies: map[string][]Permission{}}
	s, err := reader.open("latchkey", file, given)
	if err == nil {
		err = s.read()
	}
	if err = errors.Join(err, reader.faults); err != nil {
		return nil, fmt.Errorf("read template: %w", err)
	}
	return t, nil
}

func (s *stack) addFunction(r resource) error {
	p, globals := r.Properties, s.source.Globals.Function
	name := r.function()
	if name == "" {
		return errors.New("no CodeUri")
	}
	f := Function{Name: name, Environment: map[string]string{}}
	for _, seconds := range []int{p.Timeout, globals.Timeout, defaultTimeout} {
		if f.Timeout == 0 {
			f.Timeout = time.Duration(seconds) * time.Second
		}
	}
	for _, variables := range []map[string]yaml.Node{globals.Environment.Variables, p.Environment.Variables} {
		for key, node := range variables {
			f.Deployment = slices.DeleteFunc(f.Deployment, func(earlier string) bool { return earlier == key })
			delete(f.Environment, key)
			if v, ok := s.resolve(&node); ok {
				f.Environment[key] = v
			} else {
				f.Deployment = append(f.Deployment, key)
			}
		}
	}
	slices.Sort(f.Deployment)
	for _, policy := range p.Policies {
		allowed, err := s.policy(&policy)
		if err != nil {
			return err
		}
		f.Permissions = append(f.Permissions, allowed...)
	}
	for _, event := range p.Events {
		if event.Type == "Api" {
			s.Routes = append(s.Routes, Route{strings.ToUpper(event.Properties.Method), event.Properties.Path, name})
		}
	}
	s.Functions[name] = f
	return nil
}

// policy returns what an inline policy allows, or a managed one that a template defines.
func (s *stack) policy(n *yaml.Node) ([]Permission, error) {
	if arn, known := s.resolve(n); known {
		allowed, ours := s.policies[arn]
		if !ours {
			return nil, fmt.Errorf("policy %s is in no template", arn)
		}
		return allowed, nil
	}
	var inline grants
	if err := n.Decode(&inline); err != nil {
		return nil, err
	}
	return inline.permissions()
}

// function is the name of an AWS::Serverless::Function, "" without a CodeUri.
func (r resource) function() string {
	if r.Properties.CodeURI == "" {
		return ""
	}
	return path.Base(strings.TrimSuffix(r.Properties.CodeURI, "/"))
}

// machine substitutes what resolve can; one value is the ARN of a function, which the machine drives.
func (s *stack) machine(id string) (StateMachine, error) {
	r := s.resources[id]
	if r.Type != "AWS::Serverless::StateMachine" {
		return StateMachine{}, fmt.Errorf("%s is no state machine of the template", id)
	}
	m := StateMachine{File: s.locate(r.Properties.DefinitionURI), Substitutions: map[string]string{}}
	m.ARN, _ = s.ref(id)
	for key, node := range r.Properties.DefinitionSubstitutions {
		value, ok := s.resolve(&node)
		if !ok {
			return m, fmt.Errorf("substitution %s cannot be resolved", key)
		}
		if function, ok := strings.CutPrefix(value, functionARN("")); ok {
			m.Function = function
		}
		m.Substitutions[key] = value
	}
	if m.Function == "" {
		return m, errors.New("state machine without a function")
	}
	return m, nil
}

var daily = regexp.MustCompile(`^cron\((\d{1,2}) (\d{1,2}) \* \* \? \*\)$`)

// scheduledInput is what the scheduler fills in, and what the local one sends likewise.
const scheduledInput = `{"time":"<aws.scheduler.scheduled-time>"}`

func (s *stack) addSchedule(r resource) error {
	p := r.Properties
	machine, err := s.machine(p.Target.Arn.Value)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	if p.Target.Input != scheduledInput {
		return fmt.Errorf("input %s is not understood: only %s is", p.Target.Input, scheduledInput)
	}
	expression, _ := s.resolve(&p.ScheduleExpression)
	at := daily.FindStringSubmatch(expression)
	if at == nil || p.ScheduleExpressionTimezone != "UTC" {
		return fmt.Errorf("schedule %q %s is not understood: only cron(minute hour * * ? *) UTC is", expression, p.ScheduleExpressionTimezone)
	}
	offset, err := time.ParseDuration(at[2] + "h" + at[1] + "m")
	if err != nil || offset >= 24*time.Hour || len(at[1]) == 2 && at[1] > "59" {
		return fmt.Errorf("schedule %s names no time of a day", expression)
	}
	s.Schedules = append(s.Schedules, Schedule{machine.Function, offset})
	return nil
}

func (s *stack) addAPI(r resource) error {
	p := r.Properties
	if s.Stage != "" {
		return errors.New("only one API is understood")
	}
	stage, ok := s.resolve(&p.StageName)
	if !ok {
		return errors.New("StageName cannot be resolved")
	}
	s.Stage, s.BinaryMediaTypes = stage, p.BinaryMediaTypes
	for kind, response := range p.GatewayResponses {
		status := 0
		if response.StatusCode != "" {
			var err error
			if status, err = strconv.Atoi(response.StatusCode); err != nil {
				return fmt.Errorf("gateway response %s: %w", kind, err)
			}
		}
		s.Responses[kind] = GatewayResponse{status, response.ResponseParameters.Headers, response.ResponseTemplates}
	}
	return nil
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
