package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	rules := filepath.Join(t.TempDir(), "scopes.json")
	if err := os.WriteFile(rules, []byte("{\"scopes\": [{\"name\": \"orders\"}],\n\"rules\": [\n{\"path\": \"/orders/{id}\", \"scopes\": [\"orders\"]},\n{\"path\": \"/orders\", \"scopes\": [\"orders\"]}]}"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, []byte("{\n\"rule\": []}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ env, out, err string }{
		{"TOKEN_SCOPES=read_api METHOD=GET URL_PATH=/api/v4/projects", `"allowed": true`, ""},
		{"TOKEN_SCOPES=read_user,self_rotate METHOD=GET URL_PATH=/api/v4/projects", `"allowed": false`, ""},
		{"TOKEN_SCOPES=api METHOD=GET URL_PATH=/api/v4/projects/8 PROJECT_ID=9", "does not belong to the token's project", ""},
		{"TOKEN_SCOPES=orders METHOD=GET URL_PATH=/orders SCOPES_FILE=" + rules, `"line": 4`, ""},
		{"TOKEN_SCOPES=orders METHOD=GET URL_PATH=/orders", "", "TOKEN_SCOPES: scope unknown"},
		{"METHOD=GET URL_PATH=/orders", "", "TOKEN_SCOPES: scope unknown: none given"},
		{"TOKEN_SCOPES=api METHOD=GET", "", "usage: make explain"},
		{"TOKEN_SCOPES=api METHOD=GET URL_PATH=/ GROUP_ID=x", "", `GROUP_ID is "x", not an id`},
		{"TOKEN_SCOPES=api METHOD=GET URL_PATH=/ PROJECT_ID=1 GROUP_ID=2", "", "PROJECT_ID and GROUP_ID exclude each other"},
		{"TOKEN_SCOPES=api METHOD=GET URL_PATH=/ SCOPES_FILE=" + broken, "", `broken.json: rules file: line 2, column 1: key "rule" is unknown`},
	} {
		env := map[string]string{}
		for word := range strings.FieldsSeq(test.env) {
			name, value, _ := strings.Cut(word, "=")
			env[name] = value
		}
		var out strings.Builder
		err := run(func(name string) string { return env[name] }, &out)
		if test.err == "" && (err != nil || !strings.Contains(out.String(), test.out)) || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: %v\n%s", test.env, err, out.String())
		}
	}
}
