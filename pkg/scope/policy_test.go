package scope_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"latchkey/pkg/scope"
	"latchkey/pkg/scope/scopetest"
)

// resource is a pattern of an IAM policy, by way of a regular expression.
func resource(t testing.TB, pattern string) *regexp.Regexp {
	t.Helper()
	text := strings.NewReplacer(`\*`, "(?s:.*)", `\?`, "(?s:.)").Replace(regexp.QuoteMeta(pattern))
	return regexp.MustCompile("^" + text + "$")
}

// Breaks if a pattern refuses a path that has one reading only.
func TestPatternsLeavePathsWithOneReading(t *testing.T) {
	for _, entry := range corpus(t) {
		if entry.verdict != "fine" {
			continue
		}
		if scope.Denied(scope.AmbiguousPatterns, "GET", entry.path) {
			t.Errorf("%q is denied", entry.path)
		}
		if beyond := strings.ContainsFunc(scopetest.Unescape(entry.path), func(r rune) bool { return r > '~' }); scope.Denied(scope.KeptPatterns, "GET", entry.path) != beyond {
			t.Errorf("%q in a kept policy: denied = %t", entry.path, !beyond)
		}
	}
	escape := rapid.StringMatching(`(%[0-9A-Fa-f]{2}|%[CDcd][2-9a-f]%[89ABab][0-9a-f]|%E[3-7]%[89AB]a%80|[a-z.~-]|/){1,8}`)
	rapid.Check(t, func(rt *rapid.T) {
		p := "/" + escape.Draw(rt, "path")
		if scope.GitLab().CheckPath(p) == nil && scope.Denied(scope.AmbiguousPatterns, "GET", p) {
			rt.Errorf("%q has one reading and is denied", p)
		}
	})
}

func TestDeniedReadsPatternsAsIAMDoes(t *testing.T) {
	patterns := slices.Concat(scope.KeptPatterns, []string{"", "*", "?", "a*?b", "**", "*a*b", "GET/x"})
	pieces := []string{"/", "//", ".", "..", ";", "%", "%2", "%2e", "%C0", "%c1%9c", "%e0%80%ae", "%u002e", "a", "b", "?", "*", "x"}
	rapid.Check(t, func(rt *rapid.T) {
		p := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 6).Draw(rt, "path"), "")
		for _, pattern := range patterns {
			if got, want := scope.Denied([]string{pattern}, "GET", p), resource(t, pattern).MatchString("GET"+p); got != want {
				rt.Fatalf("%q denies GET%s: %t, want %t", pattern, p, got, want)
			}
		}
	})
}

// If this fails, a gateway that keeps a policy lets a request pass that the backend takes for another
// one, which the token's scopes do not open.
func TestAKeptPolicyOpensNoOtherReading(t *testing.T) {
	pieces := []string{
		"/", "/", ".", "..", "a", "b", "secret", "admin", ";", ";x=1", `\`, "%2f", "%2F", "%2e", "%2E", "%5c", "%5C", "%25", "%252e", "%3b", "%3B", "%3f", "%3F",
		"%23", "%00", "%0a", "%0d", "%09", "%1f", "%7f", "%7F", "%20", "%c0%ae", "%C0%AE", "%c0%af", "%c1%9c", "%C1%9C", "%e0%80%ae", "%E0%80%AF", "%e0%81%9c",
		"%f0%80%80%ae", "%F0%80%80%AF", "%f8%80%80%80%ae", "%F8%80%80%80%AF", "%fc%80%80%80%80%ae", "%Fc%80%80%80%80%af", "%fC%80%80%80%80%AE",
		"%u002e", "%u002f", "%U002e", "%80", "%ff", "%c3", "%c3%a9", "%34%32", "%61dmin", "%ed%a0%80", "%",
	}
	rules := []string{"/a/*", "/a/*/b", "/a", "/b/*/secret/*", "/*/b"}
	open := func(p string) bool {
		return slices.ContainsFunc(rules, func(rule string) bool { return scope.Match(rule, p) })
	}
	judge := func(report func(string, ...any), p string) {
		if strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r > '~' || r == '?' || r == '#' }) {
			return // no gateway can send it
		}
		if !open(p) || scope.Denied(scope.KeptPatterns, "GET", p) {
			return
		}
		for _, all := range []map[string]scopetest.Reader{scopetest.Readers, scopetest.Lenient} {
			for how, read := range all {
				if reading := read(p); !open(reading) {
					report("%q passes, and a reader that %s sees %q", p, how, reading)
				}
			}
		}
	}
	for _, entry := range corpus(t) {
		for _, front := range []string{"/a", "/b", "/a/x"} {
			judge(t.Errorf, front+entry.path)
			judge(t.Errorf, front+entry.path+"/b")
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		judge(rt.Errorf, rapid.SampledFrom([]string{"/a/", "/b/", "/a", "/"}).Draw(rt, "front")+
			strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 7).Draw(rt, "rest"), "")+rapid.SampledFrom([]string{"", "/b"}).Draw(rt, "end"))
	})
}

func TestNameable(t *testing.T) {
	for p, want := range map[string]bool{
		"/%61dmin": true, "/a;b": true, "/": true, "/a*": false, "/a?": false, "/${aws:username}": false, "/é": false, "/a b": false, "/\x00": false, `/"`: false,
	} {
		if got := scope.Nameable(p); got != want {
			t.Errorf("Nameable(%q) = %t", p, got)
		}
	}
}

func load(rules ...string) (*scope.Catalog, error) {
	return scope.Load(strings.NewReader(`{"scopes": [{"name": "a"}], "rules": [` + strings.Join(rules, ",") + `]}`))
}

// Breaks if an operator learns from refused requests, and not at the start, that API Gateway does
// not read a policy.
func TestLoadRefusesWhatNoPolicyHolds(t *testing.T) {
	rule := func(path string) string {
		return `{"methods": ["GET", "HEAD"], "path": "` + path + `", "scopes": ["a"]}`
	}
	if _, err := load(rule("/" + strings.Repeat("x", 299))); err != nil {
		t.Errorf("a path of 300 characters: %v", err)
	}
	_, err := load(rule("/ok"), rule("/"+strings.Repeat("x", 300)))
	if err == nil || !strings.Contains(err.Error(), "rule for /xxx") || !strings.Contains(err.Error(), "301 characters") || strings.Contains(err.Error(), "/ok") {
		t.Errorf("a path of 301 characters: %v", err)
	}
	if _, err := load(`{"methods": ["` + strings.Repeat("A", 17) + `"], "path": "/a", "scopes": ["a"]}`); err == nil || !strings.Contains(err.Error(), "rule for /a: method") {
		t.Errorf("a method of 17 letters: %v", err)
	}
	var rules []string
	for i := range 200 {
		rules = append(rules, rule(fmt.Sprintf("/part-%03d/*", i)))
	}
	_, err = load(rules...)
	named := regexp.MustCompile(`rule for /part-(\d+)/\*: .* has \d{5} characters, more than 7\d\d\d`)
	if err == nil || named.FindStringSubmatch(err.Error()) == nil {
		t.Fatalf("200 rules: %v", err)
	}
	at := 0
	_, _ = fmt.Sscanf(named.FindStringSubmatch(err.Error())[1], "%d", &at)
	if _, err := load(rules[:at]...); err != nil {
		t.Errorf("without the rule that is named: %v", err)
	}
	if _, err := load(rules[:at+1]...); err == nil {
		t.Error("with the rule that is named, the file is accepted")
	}
	if _, err := load(append(rules, rule("/*"))...); err != nil {
		t.Errorf("a rule that covers the others leaves one resource: %v", err)
	}
}

func TestWarningsNamePatternsThatOpenNeighbours(t *testing.T) {
	c, err := scope.Load(strings.NewReader(`{"scopes": [{"name": "a"}], "rules": [
		{"path": "/orders*", "scopes": ["a"]}, {"path": "/fine/*", "scopes": ["a"]}, {"path": "*", "scopes": ["a"]}, {"path": "/x/**", "scopes": ["a"]},
		{"path": "/pro*jects/*", "scopes": ["a"]}],
		"loose_paths": ["/v2*"], "project_paths": ["/p*/{id}"], "group_paths": ["/g/{id}/x*"]}`))
	if err != nil {
		t.Fatal(err)
	}
	got := c.Warnings()
	for i, want := range []string{
		"rule for /orders*: opens /orders-internal too", "rule for /pro*jects/*: opens /pro-internaljects/* too", "loose path /v2*", "project path /p*/{id}", "group path /g/{id}/x*",
	} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Fatalf("warnings are %q, want %q", got, want)
		}
	}
	if more := scope.GitLab().Warnings(); len(got) != 5 || len(more) > 0 {
		t.Errorf("warnings are %q, and of the shipped catalog %q", got, more)
	}
}
