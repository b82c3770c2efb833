package openapi_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"latchkey/infra/openapi"
)

func load(tb testing.TB) *openapi.Document {
	tb.Helper()
	d, err := openapi.Load()
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

// notDescribed are routes of the template for people and for what is nowhere.
var notDescribed = map[string]bool{"/": true, "/{proxy+}": true, "/-": true, "/-/{proxy+}": true}

// What API Gateway lets through to a function is in the document, and nothing else is.
func TestDocumentAndTemplateNameTheSamePaths(t *testing.T) {
	t.Parallel()
	template, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	operations := load(t).Operations()
	var routes []string
	for _, words := range regexp.MustCompile(`Path: "?([^",]+)"?, Method: (\w+)`).FindAllStringSubmatch(string(template), -1) {
		path := words[1]
		if notDescribed[path] {
			continue
		}
		pattern := regexp.MustCompile(`\\\{[a-z_]+\\\}`).ReplaceAllString(strings.ReplaceAll(regexp.QuoteMeta(path), `\{proxy\+\}`, `.+`), `[^/]+`)
		method := strings.ToUpper(words[2])
		if method == "ANY" {
			method = "[A-Z]+"
		}
		routes = append(routes, "^"+method+" "+pattern+"$")
	}
	if len(routes) < 20 {
		t.Fatalf("only %d routes found in template.yaml", len(routes))
	}
	for _, route := range routes {
		if !matchesAny(regexp.MustCompile(route), operations) && !strings.HasPrefix(route, "^[A-Z]+ ") {
			t.Errorf("the document has nothing for the route %s of the template", route)
		}
	}
	for _, door := range []string{"/auth/", "/oauth/introspect", "/jwt/", "/api/v4/", "/api/graphql"} {
		if !matchesAny(regexp.MustCompile(" "+regexp.QuoteMeta(door)), operations) {
			t.Errorf("the document has nothing below %s", door)
		}
	}
	for _, operation := range operations {
		fits := false
		for _, route := range routes {
			fits = fits || regexp.MustCompile(route).MatchString(operation)
		}
		_, path, _ := strings.Cut(operation, " ")
		if !fits && !strings.HasPrefix(path, "/api/") { // what has no route of its own under /api goes to settings
			t.Errorf("the template has no route for %s", operation)
		}
	}
}

// Programs list operations by their summaries alone, so each has to say what it is about.
func TestSummariesDiffer(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, words := range regexp.MustCompile(`(?m)^      summary: (.+)$`).FindAllStringSubmatch(string(document), -1) {
		if seen[words[1]] {
			t.Errorf("two operations have the summary %q", words[1])
		}
		seen[words[1]] = true
	}
	if operations := len(load(t).Operations()); len(seen) != operations {
		t.Errorf("%d different summaries of %d operations", len(seen), operations)
	}
}

func matchesAny(pattern *regexp.Regexp, all []string) bool {
	for _, one := range all {
		if pattern.MatchString(one) {
			return true
		}
	}
	return false
}

// The samples of requests, with the replies that the functions give to them.
func TestSampleEventsKeepToTheDocument(t *testing.T) {
	t.Parallel()
	d := load(t)
	files, err := filepath.Glob("../../events/*/*.json")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, file := range files {
		var event struct {
			Method  string      `json:"httpMethod"`
			Path    string      `json:"path"`
			Query   queryValues `json:"multiValueQueryStringParameters"`
			Header  http.Header `json:"multiValueHeaders"`
			Body    string      `json:"body"`
			Base64  bool        `json:"isBase64Encoded"`
			Context any         `json:"requestContext"`
		}
		function := filepath.Base(filepath.Dir(file))
		if function == "authorizer" || read(t, file, &event) != nil || event.Method == "" || event.Base64 {
			continue
		}
		var reply struct {
			Status int             `json:"statusCode"`
			Header http.Header     `json:"multiValueHeaders"`
			Body   json.RawMessage `json:"body"`
		}
		golden := filepath.Join("../local/e2e/testdata/golden", function, filepath.Base(file))
		if err := read(t, golden, &reply); err != nil || reply.Status == 0 {
			t.Errorf("%s: %v", golden, err)
			continue
		}
		text := string(reply.Body)
		var quoted string
		if text == "null" {
			text = ""
		} else if !strings.HasPrefix(reply.Header.Get("Content-Type"), "application/json") && json.Unmarshal(reply.Body, &quoted) == nil {
			text = quoted
		}
		header := http.Header{}
		for name, values := range event.Header {
			for _, value := range values {
				header.Add(name, value)
			}
		}
		described, err := d.Check(t.Context(), openapi.Exchange{
			Method: event.Method, Target: event.Path + "?" + event.Query.encode(), Header: header, Body: event.Body,
			Status: reply.Status, ReplyHeader: reply.Header, Reply: text,
		})
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if described {
			checked++
		}
	}
	if checked < 80 {
		t.Errorf("only %d samples are described", checked)
	}
}

type queryValues map[string][]string

func (q queryValues) encode() string {
	parts := []string{}
	for name, values := range q {
		for _, value := range values {
			parts = append(parts, name+"="+value)
		}
	}
	return strings.Join(parts, "&")
}

func read(tb testing.TB, file string, into any) error {
	tb.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}
