package cloud

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A stack is one deployed template: a name, and values for its parameters. A file that is nested
// three times makes three stacks.
type stack struct {
	*reader
	name, file string
	source     templateSource
	parameters map[string]string   // whose values are known before a deployment
	resources  map[string]resource // of the supported types, by logical id
	nested     map[string]*stack   // by logical id, the opened ones
}

// reader is the state that the stacks of one template share.
type reader struct {
	*Template
	policies map[string][]Permission                 // the permissions of managed policies, by ARN
	roles    map[string]func() ([]Permission, error) // those of roles, by ARN
	faults   error                                   // in nested templates that were opened for their outputs
}

type templateSource struct {
	Parameters map[string]struct {
		Default *string `yaml:"Default"`
	} `yaml:"Parameters"`
	Rules map[string]struct {
		RuleCondition yaml.Node `yaml:"RuleCondition"`
		Assertions    []struct {
			Assert            yaml.Node `yaml:"Assert"`
			AssertDescription string    `yaml:"AssertDescription"`
		} `yaml:"Assertions"`
	} `yaml:"Rules"`
	Conditions map[string]yaml.Node `yaml:"Conditions"`
	Globals    struct {
		Function functionProperties `yaml:"Function"`
	} `yaml:"Globals"`
	// Resources stay nodes at first, because only some types are supported.
	Resources map[string]yaml.Node `yaml:"Resources"`
	Outputs   map[string]struct {
		Value yaml.Node `yaml:"Value"`
	} `yaml:"Outputs"`
}

var understood = []string{
	"AWS::Serverless::Function", "AWS::Serverless::Api", "AWS::Serverless::StateMachine", "AWS::Scheduler::Schedule",
	"AWS::IAM::ManagedPolicy", "AWS::IAM::Role", "AWS::SQS::Queue", "AWS::Lambda::EventSourceMapping", "AWS::CloudFormation::Stack",
	"AWS::Serverless::Application", "AWS::DynamoDB::Table",
}

// open parses a template. given are the values of its parameters, nil for values that only a
// deployment knows.
func (r *reader) open(name, file string, given map[string]*string) (*stack, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s := &stack{reader: r, name: name, file: file, parameters: map[string]string{}, resources: map[string]resource{}, nested: map[string]*stack{}}
	var document yaml.Node
	if err := yaml.Unmarshal(raw, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	expand(&document)
	if err := document.Decode(&s.source); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for parameter := range given {
		if _, declared := s.source.Parameters[parameter]; !declared {
			return nil, fmt.Errorf("%s: no parameter %s", file, parameter)
		}
	}
	for parameter, declared := range s.source.Parameters {
		value, ok := given[parameter]
		if !ok {
			value = declared.Default
		}
		if !ok && value == nil {
			return nil, fmt.Errorf("%s: parameter %s has no value", file, parameter)
		}
		if value != nil {
			s.parameters[parameter] = *value
		}
	}
	if err := s.obey(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for id, node := range s.source.Resources {
		if err := s.add(id, &node); err != nil {
			return nil, fmt.Errorf("%s: resource %s: %w", file, id, err)
		}
	}
	return s, nil
}

// obey returns an error if the parameters break a rule of the template, as CloudFormation does before
// it creates anything.
func (s *stack) obey() error {
	for name, rule := range s.source.Rules {
		if applies, _ := s.test(&rule.RuleCondition); !rule.RuleCondition.IsZero() && !applies {
			continue
		}
		for _, assertion := range rule.Assertions {
			if holds, _ := s.test(&assertion.Assert); !holds {
				return fmt.Errorf("rule %s: %s", name, assertion.AssertDescription)
			}
		}
	}
	return nil
}

func (s *stack) add(id string, node *yaml.Node) error {
	var kind struct {
		Type string `yaml:"Type"`
	}
	if err := node.Decode(&kind); err != nil || !slices.Contains(understood, kind.Type) {
		return err
	}
	var r resource
	if err := node.Decode(&r); err != nil {
		return err
	}
	s.resources[id] = r
	switch r.Type {
	case "AWS::IAM::ManagedPolicy":
		allowed, err := r.Properties.PolicyDocument.permissions(s)
		s.policies[s.policyARN(id)] = allowed
		return err
	case "AWS::IAM::Role":
		s.roles[s.roleARN(id)] = func() ([]Permission, error) { return s.role(r) }
	}
	return nil
}

func (s *stack) policyARN(id string) string { return ARN("iam", "policy/"+s.name+"-"+id) }

func (s *stack) roleARN(id string) string { return ARN("iam", "role/"+s.name+"-"+id) }

// role returns what a role may do by its own policies and by managed ones, which a template has to define.
func (s *stack) role(r resource) ([]Permission, error) {
	var all []Permission
	for _, policy := range r.Properties.Policies {
		var inline struct {
			Document grants `yaml:"PolicyDocument"`
		}
		if err := policy.Decode(&inline); err != nil {
			return nil, err
		}
		allowed, err := inline.Document.permissions(s)
		if err != nil {
			return nil, err
		}
		all = append(all, allowed...)
	}
	for _, node := range r.Properties.ManagedPolicyArns {
		arn, known := s.resolve(&node)
		if !known { // AWS::NoValue
			continue
		}
		allowed, ours := s.policies[arn]
		if !ours {
			return nil, fmt.Errorf("policy %s is in no template", arn)
		}
		all = append(all, allowed...)
	}
	return all, nil
}

// read adds the stack's resources to the template.
func (s *stack) read() error {
	for _, id := range slices.Sorted(maps.Keys(s.resources)) {
		if err := s.deploy(id, s.resources[id]); err != nil {
			return fmt.Errorf("%s: resource %s: %w", s.file, id, err)
		}
	}
	return nil
}

func (s *stack) deploy(id string, r resource) error {
	if r.Condition != "" {
		switch deployed, known := s.holds(r.Condition); {
		case !known:
			return fmt.Errorf("condition %s cannot be resolved", r.Condition)
		case !deployed:
			return nil
		}
	}
	switch r.Type {
	case "AWS::Serverless::Function":
		return s.addFunction(r)
	case "AWS::Serverless::Api":
		return s.addAPI(r)
	case "AWS::Serverless::StateMachine":
		m, err := s.machine(id)
		s.StateMachines[m.Function] = m
		return err
	case "AWS::Scheduler::Schedule":
		return s.addSchedule(r)
	case "AWS::SQS::Queue":
		return s.addQueue(id, r)
	case "AWS::Lambda::EventSourceMapping":
		return s.addStream(r)
	case "AWS::CloudFormation::Stack", "AWS::Serverless::Application":
		if nested := s.nest(id); nested != nil {
			return nested.read()
		}
	}
	return nil
}

// nest opens a nested template once. It returns nil for a template that cannot be opened, and while
// the template's parameters are being resolved, so that a cycle of outputs stays unresolved.
func (s *stack) nest(id string) *stack {
	if nested, seen := s.nested[id]; seen {
		return nested
	}
	s.nested[id] = nil
	p, given := s.resources[id].Properties, map[string]*string{}
	for parameter, node := range p.Parameters {
		given[parameter] = nil
		if value, known := s.resolve(&node); known {
			given[parameter] = &value
		}
	}
	nested, err := s.open(s.name+"-"+id, s.locate(p.TemplateURL+p.Location), given)
	if err != nil {
		s.faults = errors.Join(s.faults, fmt.Errorf("%s: resource %s: %w", s.file, id, err))
	}
	s.nested[id] = nested
	return nested
}

// locate returns the target of a path that is relative to the template.
func (s *stack) locate(path string) string {
	return filepath.Join(filepath.Dir(s.file), filepath.FromSlash(path))
}

// resolve evaluates a value; ok is false if only a deployment knows it.
func (s *stack) resolve(n *yaml.Node) (v string, ok bool) {
	switch {
	case n.Tag == "!Ref":
		return s.ref(n.Value)
	case n.Tag == "!GetAtt":
		return s.attribute(strings.Join(scalars(n), "."))
	case n.Tag == "!If" && len(n.Content) == 3:
		yes, known := s.holds(n.Content[0].Value)
		if !known {
			return "", false
		}
		if yes {
			return s.resolve(n.Content[1])
		}
		return s.resolve(n.Content[2])
	case n.Kind != yaml.ScalarNode:
		return "", false
	case n.Tag == "!Sub":
		ok = true
		v = reference.ReplaceAllStringFunc(n.Value, func(match string) string {
			name := match[2 : len(match)-1]
			value, known := s.ref(name)
			if !known {
				value, known = s.attribute(name)
			}
			ok = ok && known
			return value
		})
		return v, ok
	}
	return n.Value, strings.HasPrefix(n.Tag, "!!")
}

// ref is !Ref.
func (s *stack) ref(name string) (string, bool) {
	if value, known := s.parameters[name]; known {
		return value, true
	}
	if value, known := map[string]string{
		"AWS::Partition": partition, "AWS::Region": region, "AWS::AccountId": accountID, "AWS::StackName": s.name,
	}[name]; known {
		return value, true
	}
	switch r := s.resources[name]; r.Type {
	case "AWS::IAM::ManagedPolicy":
		return s.policyARN(name), true
	case "AWS::Serverless::StateMachine":
		machine, known := s.name+"-"+name, true
		if !r.Properties.Name.IsZero() {
			machine, known = s.resolve(&r.Properties.Name)
		}
		return ARN("states", "stateMachine:"+machine), known
	case "AWS::SQS::Queue":
		return "https://sqs." + region + ".amazonaws.com/" + accountID + "/" + s.name + "-" + name, true
	}
	return "", false
}

// attribute is !GetAtt of a name such as Function.Arn or Stack.Outputs.Name.
func (s *stack) attribute(name string) (string, bool) {
	id, attribute, _ := strings.Cut(name, ".")
	r := s.resources[id]
	switch output, isOutput := strings.CutPrefix(attribute, "Outputs."); {
	case r.Type == "AWS::Serverless::Function" && attribute == "Arn":
		return functionARN(r.function()), true
	case r.Type == "AWS::IAM::Role" && attribute == "Arn":
		return s.roleARN(id), true
	case r.Type == "AWS::SQS::Queue" && attribute == "Arn":
		return ARN("sqs", s.name+"-"+id), true
	case r.Type == "AWS::DynamoDB::Table" && attribute == "StreamArn":
		return ARN("dynamodb", "table/"+id+"/stream/1"), true
	case isOutput:
		if nested := s.nest(id); nested != nil {
			value := nested.source.Outputs[output].Value
			return nested.resolve(&value)
		}
	}
	return "", false
}

// holds evaluates a condition; known is false if only a deployment can.
func (s *stack) holds(condition string) (yes, known bool) {
	node := s.source.Conditions[condition]
	return s.test(&node)
}

func (s *stack) test(n *yaml.Node) (yes, known bool) {
	switch {
	case n.Tag == "!Condition":
		return s.holds(n.Value)
	case n.Tag == "!Equals" && len(n.Content) == 2:
		a, knownA := s.resolve(n.Content[0])
		b, knownB := s.resolve(n.Content[1])
		return a == b, knownA && knownB
	case n.Tag == "!Not" && len(n.Content) == 1:
		yes, known = s.test(n.Content[0])
		return !yes, known
	case n.Tag == "!And", n.Tag == "!Or":
		all, some, known := true, false, true
		for _, part := range n.Content {
			one, knownOne := s.test(part)
			all, some, known = all && one, some || one, known && knownOne
		}
		return n.Tag == "!And" && all || n.Tag == "!Or" && some, known
	}
	return false, false
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
	if len(p.Policies) > 0 {
		return errors.New("a function with policies and no role gets policies of AWS, too, whose resource is *")
	}
	if !p.Role.IsZero() {
		arn, _ := s.resolve(&p.Role)
		role, ours := s.roles[arn]
		if !ours {
			return fmt.Errorf("role %q is in no template", arn)
		}
		var err error
		if f.Permissions, err = role(); err != nil {
			return err
		}
	}
	for _, event := range p.Events {
		switch event.Type {
		case "Api":
			s.Routes = append(s.Routes, Route{strings.ToUpper(event.Properties.Method), event.Properties.Path, name})
		case "SQS":
			queue, known := s.resolve(&event.Properties.Queue)
			if !known {
				return errors.New("queue of an event cannot be resolved")
			}
			s.Mappings = append(s.Mappings, Mapping{queue, name, event.Properties.BatchSize})
		case "ScheduleV2":
			if event.Properties.Schedule != "rate(1 minute)" {
				return fmt.Errorf("schedule %q of an event is not understood: only rate(1 minute) is", event.Properties.Schedule)
			}
			s.Schedules = append(s.Schedules, Schedule{Function: name, Every: time.Minute})
		}
	}
	reservation := p.Reserved
	if reservation.IsZero() {
		reservation = globals.Reserved
	}
	if reserved, known := s.resolve(&reservation); known {
		if f.Reserved, _ = strconv.Atoi(reserved); f.Reserved < 1 {
			return fmt.Errorf("%s reserved executions", reserved)
		}
	}
	s.Functions[name] = f
	return nil
}

// machine fills in the substitutions that resolve knows. One of them is the ARN of the machine's
// function.
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
	s.Schedules = append(s.Schedules, Schedule{Function: machine.Function, At: offset})
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
	for _, m := range p.MethodSettings {
		rate, knownRate := s.resolve(&m.ThrottlingRateLimit)
		burst, knownBurst := s.resolve(&m.ThrottlingBurstLimit)
		limit, err := strconv.ParseFloat(rate, 64)
		most, wrong := strconv.Atoi(burst)
		if !knownRate || !knownBurst || err != nil || wrong != nil {
			return fmt.Errorf("throttle of %s is not understood", m.ResourcePath)
		}
		path := m.ResourcePath
		if path != "/*" {
			path = strings.ReplaceAll(strings.TrimPrefix(path, "/"), "~1", "/") // as AWS::ApiGateway::Stage MethodSetting encodes it
		}
		s.Throttles = append(s.Throttles, MethodThrottle{path, m.HTTPMethod, limit, most})
	}
	for kind, response := range p.GatewayResponses {
		status := 0
		if response.StatusCode != "" {
			var err error
			if status, err = strconv.Atoi(response.StatusCode); err != nil {
				return fmt.Errorf("gateway response %s: %w", kind, err)
			}
		}
		headers := map[string]string{}
		for name, node := range response.ResponseParameters.Headers {
			if value, known := s.resolve(&node); known { // AWS::NoValue is not
				headers[name] = value
			}
		}
		s.Responses[kind] = GatewayResponse{status, headers, response.ResponseTemplates}
	}
	return nil
}
