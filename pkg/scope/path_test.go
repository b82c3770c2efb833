package scope_test

import (
	"errors"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"latchkey/pkg/scope"
	"latchkey/pkg/scope/scopetest"
)

type spelled struct {
	verdict string // fine, loose or refused
	path    string
}

func corpus(t testing.TB) []spelled {
	t.Helper()
	text, err := os.ReadFile("testdata/paths.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []spelled
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		verdict, path, _ := strings.Cut(line, " ")
		if strings.HasPrefix(path, `"`) {
			if path, err = strconv.Unquote(path); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
		all = append(all, spelled{verdict, path})
	}
	long := "/" + strings.Repeat("a", scope.MaxPathLength-1)
	return append(all, spelled{"fine", long}, spelled{"refused", long + "a"})
}

// withLoosePaths is the shipped catalog with loose paths.
func withLoosePaths(patterns ...string) *scope.Catalog {
	c := *scope.GitLab()
	c.LoosePaths = patterns
	return &c
}

// Breaks if a path that gateway and backend read in two ways reaches a rule.
func TestCheckPath(t *testing.T) {
	strict, loose, elsewhere := scope.GitLab(), withLoosePaths("*"), withLoosePaths("/elsewhere/*")
	for _, entry := range corpus(t) {
		name := entry.path
		if len(name) > 100 {
			name = name[:20] + " of " + strconv.Itoa(len(name)) + " bytes"
		}
		t.Run(entry.verdict+" "+name, func(t *testing.T) {
			for which, c := range map[string]*scope.Catalog{"strict": strict, "loose": loose, "loose elsewhere": elsewhere} {
				want := entry.verdict == "fine" || entry.verdict == "loose" && which == "loose"
				err := c.CheckPath(entry.path)
				if (err == nil) != want {
					t.Errorf("%s: CheckPath(%q) = %v", which, entry.path, err)
				}
				if err != nil && !errors.Is(err, scope.ErrAmbiguousPath) {
					t.Errorf("%s: error = %v, want ErrAmbiguousPath", which, err)
				}
			}
		})
	}
}

func agreeAll(t *testing.T, p string) {
	t.Helper()
	want := scopetest.Unescape(p)
	for how, read := range scopetest.Readers {
		if got := read(p); got != want {
			t.Errorf("%q passes, and a reader that %s sees %q where another sees %q", p, how, got, want)
		}
	}
}

// What CheckPath lets through, every reader of the list takes for the same.
func TestReadersAgreeOnEveryPathThatPasses(t *testing.T) {
	for _, entry := range corpus(t) {
		if scope.GitLab().CheckPath(entry.path) == nil {
			agreeAll(t, entry.path)
		}
	}
}

// A path that was refused to a token must stay refused in every spelling that
// some backend takes for it, the other case of letters included.
func TestNoSpellingOpensWhatItsReadingDoesNot(t *testing.T) {
	c := scope.GitLab()
	for _, entry := range corpus(t) {
		if c.CheckPath(entry.path) != nil {
			continue
		}
		readings := map[string]string{"lower case": strings.ToLower(entry.path)}
		for how, read := range scopetest.Readers {
			readings[how] = read(entry.path)
			readings[how+", then lower case"] = strings.ToLower(read(entry.path))
		}
		for _, set := range smallSets(c) {
			for _, method := range methods {
				if !c.Allows(set, scope.Everywhere(), method, entry.path) {
					continue
				}
				for how, reading := range readings {
					if !c.Allows(set, scope.Everywhere(), method, reading) {
						t.Errorf("%s opens %s %q, which a reader (%s) takes for %q, which it does not open", set, method, entry.path, how, reading)
					}
				}
			}
		}
	}
}

// Loose paths are an operator's wish for some routes; what comes in through
// them must not get out of those routes.
func TestLoosePathsStayBelowTheirPrefix(t *testing.T) {
	c := withLoosePaths("/v2/*", "/open/*/files/*")
	for _, entry := range corpus(t) {
		for _, front := range []string{"/v2", "/v2/", "/open/1/files", "/v2%2F", "/v2/%2e", "/v2/a%2F"} {
			p := front + entry.path
			if c.CheckPath(p) == nil {
				staysBelow(t, p)
			}
		}
	}
}

func staysBelow(t *testing.T, p string) {
	t.Helper()
	for how, read := range scopetest.Readers {
		cleaned := path.Clean(read(p))
		if strings.HasPrefix(p, "/v2/") && cleaned != "/v2" && !strings.HasPrefix(cleaned, "/v2/") {
			t.Errorf("%q passes, and a reader that %s sees %q", p, how, cleaned)
		}
		if slices.Contains(strings.Split(read(p), "/"), "..") {
			t.Errorf("%q passes with a dot segment for a reader that %s", p, how)
		}
	}
}

func FuzzCheckPath(f *testing.F) {
	for _, entry := range corpus(f) {
		if len(entry.path) < 200 {
			f.Add(entry.path)
			f.Add("/v2" + entry.path)
		}
	}
	strict, loose := scope.GitLab(), withLoosePaths("/v2/*")
	f.Fuzz(func(t *testing.T, p string) {
		strictErr, looseErr := strict.CheckPath(p), loose.CheckPath(p)
		for _, err := range []error{strictErr, looseErr} {
			if err != nil && !errors.Is(err, scope.ErrAmbiguousPath) {
				t.Errorf("CheckPath(%q) = %v", p, err)
			}
		}
		if strictErr == nil {
			agreeAll(t, p)
			if looseErr != nil {
				t.Errorf("%q passes where loose paths are not asked for, and not where they are: %v", p, looseErr)
			}
			if !strings.HasPrefix(p, "/") || len(p) > scope.MaxPathLength {
				t.Errorf("%q passes", p)
			}
		}
		if looseErr == nil {
			staysBelow(t, p)
		}
		for _, change := range []func(string) string{strings.ToLower, strings.ToUpper} {
			if other := scopetest.MapEscapes(p, change); (strict.CheckPath(other) == nil) != (strictErr == nil) {
				t.Errorf("%q and %q are judged differently", p, other)
			}
		}
	})
}
