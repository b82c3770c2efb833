package local

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Template is what template.yaml says about functions, routes, gateway responses and schedules. The
// local cloud has no other source for them, so it cannot drift from what is deployed. Conditions are
// not looked at: everything that can be deployed is here.
type Template struct {
	Stage            string
	Parameters       map[string]string   // defaults, or what ReadTemplate was given instead
	Functions        map[string]Function // by name
	Routes           []Route
	Responses        map[string]GatewayResponse // by type, such as DEFAULT_4XX
	BinaryMediaTypes []string
	StateMachines    map[string]StateMachine // by logical id
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
	Function string
	// File holds the definition, in which Substitutions take the place of their names.
	File          string
	Substitutions map[string]string
}

// Machines returns the functions behind the state machines, by ARN.
func (t *Template) Machines() map[string]string {
	functions := map[string]string{}
	for _, m := range t.StateMachines {
		functions[machineARN(m.Function)] = m.Function
	}
	return functions
}

// machineARN is that of the state machine which drives a function.
func machineARN(function string) string {
	return "arn:" + partition + ":states:" + region + ":" + accountID + ":stateMachine:latchkey-" + function
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
	Properties struct {
		functionProperties `yaml:",inline"`
		CodeURI            string `yaml:"CodeUri"`
		Policies           []struct {
			Statement []struct {
				Effect   string    `yaml:"Effect"`
				Action   yaml.Node `yaml:"Action"`
				Resource yaml.Node `yaml:"Resource"`
				// Condition: by operator, then by key.
				Condition map[string]map[string]string `yaml:"Condition"`
			} `yaml:"Statement"`
		} `yaml:"Policies"`
		Events map[string]struct {
			Type       string `yaml:"Type"`
			Properties struct {
				Path   string `yaml:"Path"`
				Method string `yaml:"Method"`
			} `yaml:"Properties"`
		} `yaml:"Events"`

		DefinitionURI           string               `yaml:"DefinitionUri"`
		DefinitionSubstitutions map[string]yaml.Node `yaml:"DefinitionSubstitutions"`

		ScheduleExpression         string `yaml:"ScheduleExpression"`
		ScheduleExpressionTimezone string `yaml:"ScheduleExpressionTimezone"`
		Target                     struct {
			Arn yaml.Node `yaml:"Arn"`
		} `yaml:"Target"`

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

// defaultTimeout is Lambda's, in seconds (AWS::Lambda::Function, Timeout).
const defaultTimeout = 3

// ReadTemplate reads a SAM template. parameters take the place of the template's defaults.
func ReadTemplate(file string, parameters map[string]string) (*Template, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read template: %w", err)
	}
	var source struct {
		Parameters map[string]struct {
			Default string `yaml:"Default"`
		} `yaml:"Parameters"`
		Globals struct {
			Function functionProperties `yaml:"Function"`
		} `yaml:"Globals"`
		// Nodes first: only some types of resources are understood.
		Resources map[string]yaml.Node `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(raw, &source); err != nil {
		return nil, fmt.Errorf("read template %s: %w", file, err)
	}
	t := &Template{
		Parameters: map[string]string{}, Functions: map[string]Function{},
		Responses: map[string]GatewayResponse{}, StateMachines: map[string]StateMachine{},
	}
	for name, parameter := range source.Parameters {
		t.Parameters[name] = parameter.Default
	}
	for name, given := range parameters {
		if _, ok := t.Parameters[name]; !ok {
			return nil, fmt.Errorf("read template %s: no parameter %s", file, name)
		}
		t.Parameters[name] = given
	}
	reader := reader{Template: t, folder: filepath.Dir(file), globals: source.Globals.Function, functions: map[string]string{}}
	// What refers to another resource comes after it.
	for _, pass := range []map[string]func(id string, r resource) error{
		{"AWS::Serverless::Function": reader.addFunction, "AWS::Serverless::Api": reader.addAPI},
		{"AWS::Serverless::StateMachine": reader.addStateMachine},
		{"AWS::Scheduler::Schedule": reader.addSchedule},
	} {
		for _, id := range slices.Sorted(maps.Keys(source.Resources)) {
			node := source.Resources[id]
			if err := add(id, &node, pass); err != nil {
				return nil, fmt.Errorf("read template %s: resource %s: %w", file, id, err)
			}
		}
	}
	return t, nil
}

// reader fills a template from its resources.
type reader struct {
	*Template
	folder    string // which relative paths start from
	globals   functionProperties
	functions map[string]string // names by logical id
}

func add(id string, node *yaml.Node, kinds map[string]func(string, resource) error) error {
	var kind struct {
		Type string `yaml:"Type"`
	}
	if err := node.Decode(&kind); err != nil {
		return err
	}
	understand, ok := kinds[kind.Type]
	if !ok {
		return nil
	}
	var r resource
	if err := node.Decode(&r); err != nil {
		return err
	}
	return understand(id, r)
}

func (t *reader) addFunction(id string, r resource) error {
	p, globals := r.Properties, t.globals
	name := path.Base(strings.TrimSuffix(p.CodeURI, "/"))
	if p.CodeURI == "" {
		return errors.New("no CodeUri")
	}
	t.functions[id] = name
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
			if v, ok := t.resolve(&node); ok {
				f.Environment[key] = v
			} else {
				f.Deployment = append(f.Deployment, key)
			}
		}
	}
	slices.Sort(f.Deployment)
	for _, policy := range p.Policies {
		for _, statement := range policy.Statement {
			if statement.Effect != "Allow" {
				return fmt.Errorf("policy effect %s is not supported", statement.Effect)
			}
			keys := statement.Condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
			for _, action := range scalars(&statement.Action) {
				for _, resource := range scalars(&statement.Resource) {
					f.Permissions = append(f.Permissions, Permission{action, strings.Contains(resource, "/index/"), keys})
				}
			}
		}
	}
	for _, event := range p.Events {
		if event.Type == "Api" {
			t.Routes = append(t.Routes, Route{strings.ToUpper(event.Properties.Method), event.Properties.Path, name})
		}
	}
	t.Functions[name] = f
	return nil
}

// addStateMachine substitutes what resolve can, and the ARN of the one function that it names.
func (t *reader) addStateMachine(id string, r resource) error {
	p := r.Properties
	m := StateMachine{File: filepath.Join(t.folder, filepath.FromSlash(p.DefinitionURI)), Substitutions: map[string]string{}}
	for key, node := range p.DefinitionSubstitutions {
		value, ok := t.resolve(&node)
		if logical, isARN := strings.CutSuffix(node.Value, ".Arn"); node.Tag == "!GetAtt" && isARN {
			if m.Function, ok = t.functions[logical]; ok {
				value = functionARN(m.Function)
			}
		}
		if !ok {
			return fmt.Errorf("substitution %s cannot be resolved", key)
		}
		m.Substitutions[key] = value
	}
	if m.Function == "" {
		return errors.New("state machine without a function")
	}
	t.StateMachines[id] = m
	return nil
}

var daily = regexp.MustCompile(`^cron\((\d{1,2}) (\d{1,2}) \* \* \? \*\)$`)

func (t *reader) addSchedule(_ string, r resource) error {
	p := r.Properties
	machine, ok := t.StateMachines[p.Target.Arn.Value]
	if !ok {
		return fmt.Errorf("target %s is no state machine of the template", p.Target.Arn.Value)
	}
	at := daily.FindStringSubmatch(p.ScheduleExpression)
	if at == nil || p.ScheduleExpressionTimezone != "UTC" {
		return fmt.Errorf("schedule %s %s is not understood: only cron(minute hour * * ? *) UTC is", p.ScheduleExpression, p.ScheduleExpressionTimezone)
	}
	offset, err := time.ParseDuration(at[2] + "h" + at[1] + "m")
	if err != nil || offset >= 24*time.Hour || len(at[1]) == 2 && at[1] > "59" {
		return fmt.Errorf("schedule %s names no time of a day", p.ScheduleExpression)
	}
	t.Schedules = append(t.Schedules, Schedule{machine.Function, offset})
	return nil
}

func (t *reader) addAPI(_ string, r resource) error {
	p := r.Properties
	stage, ok := t.resolve(&p.StageName)
	if !ok {
		return errors.New("StageName cannot be resolved")
	}
	t.Stage, t.BinaryMediaTypes = stage, p.BinaryMediaTypes
	for kind, response := range p.GatewayResponses {
		status := 0
		if response.StatusCode != "" {
			var err error
			if status, err = strconv.Atoi(response.StatusCode); err != nil {
				return fmt.Errorf("gateway response %s: %w", kind, err)
			}
		}
		t.Responses[kind] = GatewayResponse{status, response.ResponseParameters.Headers, response.ResponseTemplates}
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

// resolve works out a value; ok is false if it depends on more than parameters.
func (t *Template) resolve(n *yaml.Node) (v string, ok bool) {
	if n.Kind != yaml.ScalarNode {
		return "", false
	}
	switch n.Tag {
	case "!Ref":
		v, ok = t.Parameters[n.Value]
		return v, ok
	case "!Sub":
		ok = true
		v = reference.ReplaceAllStringFunc(n.Value, func(ref string) string {
			value, known := t.Parameters[ref[2:len(ref)-1]]
			ok = ok && known
			return value
		})
		return v, ok
	case "!GetAtt", "!ImportValue":
		return "", false
	}
	return n.Value, true
}
