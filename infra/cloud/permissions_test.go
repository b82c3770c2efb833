package cloud

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What a function may do is decided in several templates. The page shows the sum, and this test fails
// when a template widens it unseen. `make golden` writes the page's table.
func TestPermissionsAreInTheDocuments(t *testing.T) {
	t.Parallel()
	const start, end = "<!-- generated: permissions -->\n", "<!-- end of permissions -->\n"
	page := filepath.Join(filepath.Dir(templateFile(t)), "docs", "permissions.md")
	template, err := ReadTemplate(templateFile(t), everything)
	if err != nil {
		t.Fatal(err)
	}
	want := permissionTable(template)
	raw, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, opened := strings.Cut(string(raw), start)
	got, after, closed := strings.Cut(rest, end)
	if !opened || !closed {
		t.Fatalf("%s has no place for the table", page)
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(page, []byte(before+start+want+end+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("docs/permissions.md does not follow from the templates; run `make golden`. It should have\n%s", want)
	}
}

// ofStreams are the actions on a table's stream, which is a resource of its own and knows no keys.
var ofStreams = []string{"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"}

// No function may do everything on anything.
func TestNoFunctionMayDoEverything(t *testing.T) {
	t.Parallel()
	template, err := ReadTemplate(templateFile(t), everything)
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range template.Functions {
		if len(f.Permissions) == 0 {
			t.Errorf("%s has no permissions that this test could read", name)
		}
		for _, p := range f.Permissions {
			anywhere := strings.HasPrefix(p.Action, "dynamodb:") && p.Keys == "" && p.Action != "dynamodb:Scan" && !p.Index && !slices.Contains(ofStreams, p.Action)
			if strings.Contains(p.Action, "*") || strings.HasPrefix(" "+p.Keys, " *") || anywhere {
				t.Errorf("%s may %s on keys %q", name, p.Action, p.Keys)
			}
		}
	}
}

// everything has a value for each parameter without which functions would not be deployed.
var everything = map[string]string{
	"OidcIssuer": "https://login.example.test", "OidcClientId": "page", "SenderAddress": "tokens@example.test",
	"PublicUrl": "https://tokens.example.test", "RegistryService": "registry.example.test", "EventBus": "default",
}

// permissionTable has a row for each function and what it may do, with the keys in which it may.
func permissionTable(t *Template) string {
	type right struct{ object, keys, attributes string }
	text := &strings.Builder{}
	text.WriteString("| function | on | partition keys | attributes | may |\n|---|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(t.Functions)) {
		keys := map[right][]string{}
		for _, p := range t.Functions[name].Permissions {
			service, action, _ := strings.Cut(p.Action, ":")
			object := map[string]string{"dynamodb": "table", "sqs": "queue", "ses": "mail", "scheduler": "plans", "iam": "role of plans", "logs": "own log", "events": "bus"}[service]
			if slices.Contains(ofStreams, p.Action) {
				object = "stream"
			}
			if p.Index {
				object = "index"
			}
			at := right{cmp.Or(object, service), action, p.Attributes}
			keys[at] = append(keys[at], p.Keys)
		}
		rows := map[right][]string{}
		for at, patterns := range keys {
			each := "any"
			switch {
			case at.object != "table" && at.object != "index":
				each = "–"
			case !slices.Contains(patterns, ""):
				one := slices.Compact(slices.Sorted(strings.FieldsSeq(strings.Join(patterns, " "))))
				each = "`" + strings.Join(one, "` `") + "`"
			}
			row := right{at.object, each, at.attributes}
			rows[row] = append(rows[row], at.keys)
		}
		for _, row := range slices.SortedFunc(maps.Keys(rows), func(a, b right) int {
			return cmp.Or(cmp.Compare(a.object, b.object), cmp.Compare(a.keys, b.keys), cmp.Compare(a.attributes, b.attributes))
		}) {
			attributes := "–"
			if row.attributes != "" {
				attributes = "only `" + strings.ReplaceAll(row.attributes, " ", "` `") + "`"
			}
			actions := rows[row]
			slices.Sort(actions)
			fmt.Fprintf(text, "| `%s` | %s | %s | %s | %s |\n", name, row.object, row.keys, attributes, strings.Join(actions, ", "))
		}
	}
	return text.String()
}

// Breaks if a deployment could start that loses tokens or that nobody can reach.
func TestParametersThatExcludeEachOther(t *testing.T) {
	t.Parallel()
	const secret = "arn:aws:secretsmanager:eu-central-1:000000000000:secret:pepper"
	for name, test := range map[string]struct {
		parameters map[string]string
		refused    bool
	}{
		"a table without its pepper":          {map[string]string{"ExistingTable": "latchkey-old"}, true},
		"a table with its pepper":             {map[string]string{"ExistingTable": "latchkey-old", "PepperArn": secret}, false},
		"events of it without its stream":     {map[string]string{"ExistingTable": "latchkey-old", "PepperArn": secret, "EventBus": "default"}, true},
		"events of it with its stream":        {map[string]string{"ExistingTable": "latchkey-old", "PepperArn": secret, "EventBus": "default", "ExistingStreamArn": "arn:aws:dynamodb:eu-central-1:000000000000:table/latchkey-old/stream/1"}, false},
		"a domain without a certificate":      {map[string]string{"DomainName": "tokens.example.test"}, true},
		"no endpoint and no address":          {map[string]string{"ExecuteApiEndpoint": "false"}, true},
		"no endpoint, and an address":         {map[string]string{"ExecuteApiEndpoint": "false", "PublicUrl": "https://tokens.example.test"}, false},
		"a topic of the operator, no address": {map[string]string{"AlarmTopicArn": "arn:aws:sns:eu-central-1:000000000000:alarms"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			template, err := ReadTemplate(templateFile(t), test.parameters)
			if (err != nil) != test.refused {
				t.Fatal(err)
			}
			if err == nil && !slices.Contains(template.Functions["issue"].Deployment, "PEPPER") {
				t.Error("the pepper is in the template")
			}
		})
	}
}

// A reservation applies to the functions of its class only.
func TestReservationsByClass(t *testing.T) {
	t.Parallel()
	template, err := ReadTemplate(templateFile(t), map[string]string{"ApiConcurrency": "5", "CheckConcurrency": "7"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"authorizer": 7, "introspect": 7, "issue": 5, "directory": 5, "leaks": 0, "lifetime": 0} {
		if got := template.Functions[name].Reserved; got != want {
			t.Errorf("%s reserves %d, want %d", name, got, want)
		}
	}
}

// Breaks if a function could not read its environment or the table that a customer's key encrypts, or had more rights than
// a deployment without that key and without tracing needs.
func TestEveryFunctionMayUseTheKeyAndTraceIfAsked(t *testing.T) {
	t.Parallel()
	asked := maps.Clone(everything)
	asked["KmsKeyArn"], asked["Tracing"] = "arn:aws:kms:eu-central-1:000000000000:key/0", "true"
	for parameters, want := range map[*map[string]string]bool{&everything: false, &asked: true} {
		template, err := ReadTemplate(templateFile(t), *parameters)
		if err != nil {
			t.Fatal(err)
		}
		for name, f := range template.Functions {
			for _, action := range []string{"kms:Decrypt", "xray:PutTraceSegments"} {
				if may := slices.ContainsFunc(f.Permissions, func(p Permission) bool { return p.Action == action }); may != want {
					t.Errorf("%s may %s: %t", name, action, may)
				}
			}
		}
	}
}
