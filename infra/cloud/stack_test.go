package cloud

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// readFiles reads the template t.yaml of a folder that holds these files.
func readFiles(t *testing.T, files map[string]string, parameters map[string]string) (*Template, error) {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return ReadTemplate(filepath.Join(folder, "t.yaml"), parameters)
}

const (
	outer = `
Parameters: { Mail: { Default: "" }, Size: { Default: 7 } }
Conditions: { Mails: !Not [!Equals [!Ref Mail, ""]] }
Resources:
  Bucket: { Type: AWS::S3::Bucket }
  Shared: { Type: AWS::CloudFormation::Stack, Properties: { TemplateURL: below/shared.yaml } }
  First:
    Type: AWS::CloudFormation::Stack
    Properties:
      TemplateURL: below/run.yaml
      Parameters: { Function: !GetAtt F.Arn, At: "cron(0 1 * * ? *)", Name: !Sub "${AWS::StackName}-first" }
  Second:
    Type: AWS::Serverless::Application
    Condition: Mails
    Properties: { Location: below/run.yaml, Parameters: { Function: !GetAtt G.Arn, Name: second } }
  Third: { Type: AWS::CloudFormation::Stack, Properties: { TemplateURL: below/function.yaml, Parameters: { Given: !Ref Size, Unknown: !Ref Bucket } } }
  F:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: build/f/
      Environment: { Variables: { RUN: !GetAtt First.Outputs.Arn, MAIL: !If [Mails, !Ref Mail, none], OTHER: !GetAtt Shared.Outputs.Bucket } }
      Role: !GetAtt Role.Arn
  Role:
    Type: AWS::IAM::Role
    Properties:
      Policies: [{ PolicyName: own, PolicyDocument: { Statement: [{ Effect: Allow, Action: a:Own, Resource: "*" }] } }]
      ManagedPolicyArns: [!GetAtt Shared.Outputs.Policy, !If [Mails, !Ref AWS::NoValue, !Ref AWS::NoValue]]
  G: { Type: AWS::Serverless::Function, Properties: { CodeUri: build/g/ } }
`
	shared = `
Resources:
  Bucket: { Type: AWS::S3::Bucket }
  Policy:
    Type: AWS::IAM::ManagedPolicy
    Properties: { PolicyDocument: { Statement: [{ Effect: Allow, Action: [a:One, a:Two], Resource: "*" }] } }
Outputs: { Policy: { Value: !Ref Policy }, Bucket: { Value: !Ref Bucket } }
`
	run = `
Parameters: { Function: { Type: String }, At: { Default: "" }, Name: { Type: String } }
Conditions:
  Starts: !Not [!Equals [!Ref At, ""]]
  Never: !And [!Condition Starts, !Equals [a, b]]
  Either: !Or [!Condition Never, !Condition Starts]
Resources:
  Machine:
    Type: AWS::Serverless::StateMachine
    Properties: { Name: !Ref Name, DefinitionUri: m.json, DefinitionSubstitutions: { Arn: !Ref Function } }
  Start:
    Type: AWS::Scheduler::Schedule
    Condition: Either
    Properties:
      ScheduleExpression: !Ref At
      ScheduleExpressionTimezone: UTC
      Target: { Arn: !Ref Machine, Input: '{"time":"<aws.scheduler.scheduled-time>"}' }
  Not: { Type: AWS::Scheduler::Schedule, Condition: Never, Properties: { ScheduleExpression: nonsense } }
Outputs: { Arn: { Value: !Ref Machine } }
`
	function = `
Parameters: { Given: { Default: 1 }, Unknown: { Default: 1 }, Absent: { Default: 1 } }
Globals: { Function: { Timeout: 11 } }
Resources:
  H:
    Type: AWS::Serverless::Function
    Properties: { CodeUri: ../build/h, Environment: { Variables: { GIVEN: !Ref Given, UNKNOWN: !Ref Unknown, ABSENT: !Ref Absent } } }
`
)

func TestNestedTemplates(t *testing.T) {
	nested := map[string]string{"t.yaml": outer, "below/shared.yaml": shared, "below/run.yaml": run, "below/function.yaml": function}
	one, err := readFiles(t, nested, nil)
	if err != nil {
		t.Fatal(err)
	}
	both, err := readFiles(t, nested, map[string]string{"Mail": "a@example.test", "Size": "9"})
	if err != nil {
		t.Fatal(err)
	}
	t.Run("a stack that its condition leaves out is not there", func(t *testing.T) {
		for template, want := range map[*Template][]string{one: {"f"}, both: {"f", "g"}} {
			if got := slices.Sorted(maps.Keys(template.StateMachines)); !slices.Equal(got, want) {
				t.Errorf("state machines of %v, want %v", got, want)
			}
		}
	})
	t.Run("a file that is nested twice is there with the parameters of each", func(t *testing.T) {
		first, second := both.StateMachines["f"], both.StateMachines["g"]
		if got, want := both.Machines(), map[string]string{first.ARN: "f", second.ARN: "g"}; !maps.Equal(got, want) || len(got) != 2 {
			t.Errorf("machines %v, want %v", got, want)
		}
		if want := []Schedule{{Function: "f", At: time.Hour}}; !slices.Equal(both.Schedules, want) {
			t.Errorf("schedules %v, want %v", both.Schedules, want)
		}
		if got := filepath.Base(filepath.Dir(first.File)); got != "below" {
			t.Errorf("the definition is looked for in %s", got)
		}
	})
	t.Run("parameters reach the nested template, and its defaults take the place of absent ones alone", func(t *testing.T) {
		got, want := both.Functions["h"], map[string]string{"GIVEN": "9", "ABSENT": "1"}
		if !maps.Equal(got.Environment, want) || !slices.Equal(got.Deployment, []string{"UNKNOWN"}) {
			t.Errorf("environment %v and %v, want %v", got.Environment, got.Deployment, want)
		}
	})
	t.Run("globals hold for the functions of their own file", func(t *testing.T) {
		if f, h := one.Functions["f"].Timeout, one.Functions["h"].Timeout; f != 3*time.Second || h != 11*time.Second {
			t.Errorf("timeouts %s and %s", f, h)
		}
	})
	t.Run("outputs reach the outer template, as far as they are known", func(t *testing.T) {
		want := map[string]string{"RUN": "arn:aws:states:eu-central-1:000000000000:stateMachine:latchkey-first", "MAIL": "none"}
		if got := one.Functions["f"]; !maps.Equal(got.Environment, want) || !slices.Equal(got.Deployment, []string{"OTHER"}) {
			t.Errorf("environment %v and %v, want %v", got.Environment, got.Deployment, want)
		}
		if got := both.Functions["f"].Environment["MAIL"]; got != "a@example.test" {
			t.Errorf("with a mail address !If gives %q", got)
		}
	})
	t.Run("a role allows what its own and managed policies say, to the function that has it", func(t *testing.T) {
		if got, want := one.Functions["f"].Permissions, []Permission{{Action: "a:Own"}, {Action: "a:One"}, {Action: "a:Two"}}; !slices.Equal(got, want) {
			t.Errorf("f may %v, want %v", got, want)
		}
		if got := one.Functions["g"].Permissions; len(got) != 0 {
			t.Errorf("g may %v", got)
		}
	})
}

func TestNestedTemplatesThatCannotBe(t *testing.T) {
	nesting := func(parameters string) string {
		return "Resources: { N: { Type: AWS::CloudFormation::Stack, Properties: { TemplateURL: n.yaml, Parameters: {" + parameters + "} } } }"
	}
	for name, files := range map[string]map[string]string{
		"no such file":                 {"t.yaml": nesting("")},
		"not YAML":                     {"t.yaml": nesting(""), "n.yaml": "\t"},
		"parameter of no declaration":  {"t.yaml": nesting("Typo: x"), "n.yaml": "Parameters: { A: { Default: 1 } }"},
		"parameter without a value":    {"t.yaml": nesting(""), "n.yaml": "Parameters: { A: { Type: String } }"},
		"fault in the nested template": {"t.yaml": nesting(""), "n.yaml": "Resources: { F: { Type: AWS::Serverless::Function, Properties: { Timeout: 1 } } }"},
		"denial in a managed policy":   {"t.yaml": nesting(""), "n.yaml": "Resources: { P: { Type: AWS::IAM::ManagedPolicy, Properties: { PolicyDocument: { Statement: [{ Effect: Deny, Action: a, Resource: b }] } } } }"},
	} {
		t.Run(name+" is an error", func(t *testing.T) {
			if _, err := readFiles(t, files, nil); err == nil {
				t.Error("no error")
			}
		})
	}
	t.Run("templates that need each other's outputs leave them unknown", func(t *testing.T) {
		half := func(other string) string {
			return `{ Type: AWS::CloudFormation::Stack, Properties: { TemplateURL: function.yaml, Parameters: { Given: !GetAtt ` + other + `.Outputs.X } } }`
		}
		got, err := readFiles(t, map[string]string{
			"t.yaml": "Resources: { A: " + half("B") + ", B: " + half("A") + " }", "function.yaml": function + "Outputs: { X: { Value: !Ref Given } }",
		}, nil)
		if err != nil || !slices.Contains(got.Functions["h"].Deployment, "GIVEN") {
			t.Errorf("%+v, %v", got, err)
		}
	})
}
