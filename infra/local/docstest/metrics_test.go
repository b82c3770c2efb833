package docstest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// dimensionsOfAWS are those under which the services write a metric (CloudWatch pages of their guides).
var dimensionsOfAWS = map[string]string{
	"AWS/Lambda Invocations": "FunctionName", "AWS/Lambda Errors": "FunctionName", "AWS/Lambda Throttles": "FunctionName", "AWS/Lambda Duration": "FunctionName",
	"AWS/ApiGateway Count": "ApiName Stage", "AWS/ApiGateway 4XXError": "ApiName Stage", "AWS/ApiGateway 5XXError": "ApiName Stage", "AWS/ApiGateway Latency": "ApiName Stage",
	"AWS/DynamoDB ConsumedReadCapacityUnits": "TableName", "AWS/DynamoDB ConsumedWriteCapacityUnits": "TableName",
	"AWS/DynamoDB ReadThrottleEvents": "TableName", "AWS/DynamoDB WriteThrottleEvents": "TableName",
	"AWS/SES Reputation.BounceRate": "", "AWS/SES Reputation.ComplaintRate": "",
	"AWS/SQS ApproximateNumberOfMessagesVisible": "QueueName",
	"AWS/States ExecutionsFailed":                "StateMachineArn", "AWS/States ExecutionsTimedOut": "StateMachineArn", "AWS/States ExecutionsAborted": "StateMachineArn",
}

// A metric is one that an alarm or the dashboard names.
type metric struct {
	where, namespace, name string
	dimensions             [][2]string // name and value; a value is "" if a deployment knows it
}

// Breaks if an alarm or a diagram waits for a metric that nothing writes, and so stays silent or empty.
func TestEveryMetricThatIsNamedIsWritten(t *testing.T) {
	t.Parallel()
	named := append(metricsOfAlarms(t), metricsOfDashboard(t)...)
	if len(named) < 60 {
		t.Errorf("only %d metrics are found", len(named))
	}
	source := deployedSource(t)
	counted, put := map[string]bool{}, map[string]bool{}
	for _, words := range regexp.MustCompile(`(?i)\bcount\("([A-Z]\w+)", `).FindAllStringSubmatch(source, -1) {
		counted[words[1]] = true
	}
	for _, words := range regexp.MustCompile(`"([A-Z]\w+)":\s+float64\(`).FindAllStringSubmatch(source, -1) {
		put[words[1]] = true
	}
	for _, m := range named {
		var names []string
		for _, d := range m.dimensions {
			names = append(names, d[0])
		}
		dimensions := strings.Join(slices.Sorted(slices.Values(names)), " ")
		if m.namespace != "Latchkey" {
			if want, known := dimensionsOfAWS[m.namespace+" "+m.name]; !known || want != dimensions {
				t.Errorf("%s: %s %s with the dimensions %q, want %q", m.where, m.namespace, m.name, dimensions, want)
			}
			continue
		}
		switch {
		case dimensions == "Code Function Stage" && counted[m.name]:
		case dimensions == "Function Stage" && put[m.name]:
		default:
			t.Errorf("%s: nothing writes %s with the dimensions %s", m.where, m.name, dimensions)
		}
		for _, d := range m.dimensions {
			switch {
			case d[1] == "":
			case d[0] == "Function":
				if _, err := os.Stat(filepath.Join(root(t), "functions", d[1])); err != nil {
					t.Errorf("%s: %s is no function", m.where, d[1])
				}
			case d[0] == "Code" && !strings.Contains(source, `"`+d[1]+`"`):
				t.Errorf("%s: nothing counts %s under the code %s", m.where, m.name, d[1])
			}
		}
	}
}

// metricsOfAlarms returns what the alarms of all templates watch.
func metricsOfAlarms(tb testing.TB) (found []metric) {
	tb.Helper()
	type statistic struct {
		Namespace  string `yaml:"Namespace"`
		MetricName string `yaml:"MetricName"`
		Dimensions []struct {
			Name  string    `yaml:"Name"`
			Value yaml.Node `yaml:"Value"`
		} `yaml:"Dimensions"`
	}
	paths, err := filepath.Glob(filepath.Join(root(tb), "infra", "*.yaml"))
	check(tb, err)
	for _, path := range append(paths, filepath.Join(root(tb), "template.yaml")) {
		source, err := os.ReadFile(path)
		check(tb, err)
		var template struct {
			Resources map[string]struct {
				Type       string    `yaml:"Type"`
				Properties yaml.Node `yaml:"Properties"`
			} `yaml:"Resources"`
		}
		check(tb, yaml.Unmarshal(source, &template))
		for id, resource := range template.Resources {
			if resource.Type != "AWS::CloudWatch::Alarm" || id == "AuthorizerAlarm" { // its metric depends on a parameter
				continue
			}
			var alarm struct {
				statistic `yaml:",inline"`
				Metrics   []struct {
					MetricStat *struct {
						Metric statistic `yaml:"Metric"`
					} `yaml:"MetricStat"`
				} `yaml:"Metrics"`
			}
			check(tb, resource.Properties.Decode(&alarm))
			all := []statistic{alarm.statistic}
			for _, m := range alarm.Metrics {
				if m.MetricStat != nil {
					all = append(all, m.MetricStat.Metric)
				}
			}
			for _, s := range all {
				if s.MetricName == "" {
					continue
				}
				m := metric{where: filepath.Base(path) + " " + id, namespace: s.Namespace, name: s.MetricName}
				for _, d := range s.Dimensions {
					value := d.Value.Value
					if strings.HasPrefix(d.Value.Tag, "!") && !strings.HasPrefix(d.Value.Tag, "!!") {
						value = ""
					}
					m.dimensions = append(m.dimensions, [2]string{d.Name, value})
				}
				found = append(found, m)
			}
		}
	}
	return found
}

// metricsOfDashboard returns what the dashboard draws, with what its searches look for.
func metricsOfDashboard(tb testing.TB) (found []metric) {
	tb.Helper()
	source, err := os.ReadFile(filepath.Join(root(tb), "infra", "dashboard.yaml"))
	check(tb, err)
	var template struct {
		Resources struct {
			Dashboard struct {
				Properties struct {
					DashboardBody string `yaml:"DashboardBody"`
				} `yaml:"Properties"`
			} `yaml:"Dashboard"`
		} `yaml:"Resources"`
	}
	check(tb, yaml.Unmarshal(source, &template))
	var body struct {
		Widgets []struct {
			X, Y, Width, Height int
			Properties          struct {
				Title   string
				Metrics [][]any
			}
		}
	}
	check(tb, json.Unmarshal([]byte(template.Resources.Dashboard.Properties.DashboardBody), &body))
	taken := map[string]string{}
	for _, w := range body.Widgets {
		title := w.Properties.Title
		if at := fmt.Sprint(w.X, w.Y); taken[at] != "" || w.X+w.Width > 24 {
			tb.Errorf("%s lies on %s", title, taken[at])
		} else {
			taken[at] = title
		}
		for _, row := range w.Properties.Metrics {
			if options, isSearch := row[0].(map[string]any); isSearch {
				found = append(found, searched(tb, title, fmt.Sprint(options["expression"])))
				continue
			}
			var texts []string
			for _, cell := range row {
				if text, isText := cell.(string); isText {
					texts = append(texts, text)
				}
			}
			m := metric{where: "dashboard: " + title, namespace: texts[0], name: texts[1]}
			for i := 2; i+1 < len(texts); i += 2 {
				value := texts[i+1]
				if strings.HasPrefix(value, "${") {
					value = ""
				}
				m.dimensions = append(m.dimensions, [2]string{texts[i], value})
			}
			found = append(found, m)
		}
	}
	return found
}

func searched(tb testing.TB, title, expression string) metric {
	tb.Helper()
	words := regexp.MustCompile(`^SEARCH\('\{(\w+),([\w,]+)\} MetricName="(\w+)" Stage="\$\{Stage\}"', 'Sum', 300\)$`).FindStringSubmatch(expression)
	if words == nil {
		tb.Fatalf("%s: search %s is not understood", title, expression)
	}
	m := metric{where: "dashboard: " + title, namespace: words[1], name: words[3]}
	for name := range strings.SplitSeq(words[2], ",") {
		m.dimensions = append(m.dimensions, [2]string{name, ""})
	}
	return m
}

// Breaks if a function is added whose failures or refused starts wake nobody.
func TestEveryFunctionHasAlarmsOnErrorsAndThrottles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(root(t), "infra", "*.yaml"))
	check(t, err)
	type place struct{ file, name string }
	watched, functions := map[string][]place{}, map[place][]place{} // by metric; what stands for a function in the templates
	for _, file := range append(files, filepath.Join(root(t), "template.yaml")) {
		source, err := os.ReadFile(file)
		check(t, err)
		var template struct {
			Resources map[string]struct {
				Type       string    `yaml:"Type"`
				Properties yaml.Node `yaml:"Properties"`
			} `yaml:"Resources"`
		}
		check(t, yaml.Unmarshal(source, &template))
		for id, resource := range template.Resources {
			switch resource.Type {
			case "AWS::CloudWatch::Alarm":
				texts := scalars(&resource.Properties)
				for _, metric := range []string{"Errors", "Throttles", "ExecutionsFailed"} {
					if slices.Contains(texts, metric) {
						for _, text := range texts {
							watched[metric] = append(watched[metric], place{file, text})
						}
					}
				}
			case "AWS::Serverless::Function":
				functions[place{file, id}] = append(functions[place{file, id}], place{file, id})
			case "AWS::CloudFormation::Stack":
				var stack struct {
					TemplateURL string               `yaml:"TemplateURL"`
					Parameters  map[string]yaml.Node `yaml:"Parameters"`
				}
				check(t, resource.Properties.Decode(&stack))
				for parameter, value := range stack.Parameters {
					for _, text := range scalars(&value) {
						at := place{file, strings.TrimSuffix(text, ".Arn")}
						functions[at] = append(functions[at], place{filepath.Join(filepath.Dir(file), stack.TemplateURL), parameter})
					}
				}
			}
		}
	}
	scan := filepath.Join(root(t), "infra", "scan.yaml")
	found := 0
	for function, places := range functions {
		if !slices.Contains(places, function) { // another parameter of a nested template
			continue
		}
		found++
		has := func(metric string) bool {
			return slices.ContainsFunc(places, func(p place) bool { return slices.Contains(watched[metric], p) })
		}
		// The failures of a scan are those of its state machine.
		drives := slices.Contains(places, place{scan, "FunctionArn"}) && slices.Contains(watched["ExecutionsFailed"], place{scan, "Machine"})
		if !has("Errors") && !drives || !has("Throttles") {
			t.Errorf("%s: errors are watched: %t, throttles: %t", function.name, has("Errors") || drives, has("Throttles"))
		}
	}
	if want, err := filepath.Glob(filepath.Join(root(t), "functions", "*")); err != nil || found != len(want) {
		t.Errorf("%d functions in the templates, %d in the repository: %v", found, len(want), err)
	}
}

// scalars returns the texts below a node. What a function such as !Split takes apart stays whole.
func scalars(n *yaml.Node) (texts []string) {
	if n.Kind == yaml.ScalarNode {
		return []string{n.Value}
	}
	for _, child := range n.Content {
		texts = append(texts, scalars(child)...)
	}
	return texts
}
