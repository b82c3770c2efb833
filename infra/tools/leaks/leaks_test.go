// Package leaks_test holds .gitleaks.toml to its purpose, with the scanner itself: it finds every bearer
// that the product makes, wherever people leave them, finds nothing else, and nothing in this repository.
//
// The scanner is a command that `make tools` installs and not a dependency, because its library brings
// more than sixty modules, of which none is used for anything else.
package leaks_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey/infra/cloud/tabledef"
	"latchkey/pkg/config"
	"latchkey/pkg/secret"
)

// rules are the names of our own rules by prefix.
var rules = map[string]string{
	"lkpat_": "latchkey-personal-access-token",
	"lkprj_": "latchkey-resource-access-token",
	"lkimp_": "latchkey-impersonation-token",
}

// The owners with the first and the last hint of 3 characters, and of 6.
var owners = []int64{1, 62*62*62 - 1, 62 * 62 * 62, secret.MaxOwner}

// A finding is what the scanner reports.
type finding struct {
	RuleID, File, Secret string
	StartLine            int
}

// places are where bearers get lost; %s is the bearer.
var places = map[string]func(bearer string) string{
	"nothing around it":         func(bearer string) string { return bearer },
	"Go":                        in("package main\n\nconst bearer = \"%s\"\n"),
	"Python":                    in("gl = gitlab.Gitlab('https://tokens.example.test', private_token='%s')\n"),
	"an environment file":       in("LATCHKEY_URL=https://tokens.example.test\nLATCHKEY_TOKEN=%s\n"),
	"YAML":                      in("variables:\n  token: %s\n"),
	"JSON":                      in(`{"id":7301,"token":"%s","scopes":["api"]}`),
	"JSON inside of JSON":       in(`{"body":"{\"token\":\"%s\"}"}`),
	"a string with line breaks": in(`{"file":"# token\n%s\n"}`),
	"Terraform":                 in("provider \"gitlab\" {\n  token = \"%s\"\n}\n"),
	"XML":                       in("<server><password>%s</password></server>\n"),
	"Markdown":                  in("Use `%s` for now.\n"),
	"a table":                   in("root;%s;2026-09-01\n"),
	"a query":                   in("https://tokens.example.test/api/v4/user?private_token=%s&per_page=1\n"),
	"a query inside of a query": func(bearer string) string {
		return "/login?next=" + url.QueryEscape("/user?private_token="+bearer+"&page=1")
	},
	"credentials of a URL":         in("git clone https://anybody:%s@git.example.test/acme/web.git\n"),
	"curl with a header":           in("curl -sS -H 'PRIVATE-TOKEN: %s' https://tokens.example.test/api/v4/user\n"),
	"curl with Authorization":      in("curl -sS -H \"Authorization: Bearer %s\" https://tokens.example.test/api/v4/user\n"),
	"curl with a password":         in("curl -u anybody:%s https://tokens.example.test\n"),
	"a Basic header":               func(bearer string) string { return "Authorization: Basic " + encoded("anybody:"+bearer) },
	"a Kubernetes secret":          func(bearer string) string { return "kind: Secret\ndata:\n  token: " + encoded(bearer) + "\n" },
	"the name of a file":           in("wrote dump_%s_2026.json\n"),
	"the end of a sentence":        in("The new token is %s.\n"),
	"between two others of a list": in("tokens: a,%s,b\n"),
}

func in(text string) func(string) string {
	return func(bearer string) string { return fmt.Sprintf(text, bearer) }
}

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// Somebody who commits a bearer by mistake is told before it is pushed, whatever sort of file it is in.
func TestEveryBearerIsFoundWhereverItIs(t *testing.T) {
	t.Parallel()
	type expected struct{ rule, secret string }
	files, want := map[string]string{}, map[string]expected{}
	for _, prefix := range config.DefaultPrefixes {
		for _, owner := range owners {
			for place, write := range places {
				name := fmt.Sprintf("%s owner %d in %s", prefix, owner, place)
				bearer := bearerOf(t, prefix, owner)
				files[name], want[name] = write(bearer), expected{rules[prefix], bearer}
			}
		}
	}
	found := scanFiles(t, files)
	for name, want := range want {
		t.Run(name, func(t *testing.T) {
			if len(found[name]) != 1 {
				t.Fatalf("%d findings, want one by %s", len(found[name]), want.rule)
			}
			if got := found[name][0]; got.RuleID != want.rule || got.Secret != want.secret {
				t.Errorf("%s found %q, want %s to find %q", got.RuleID, got.Secret, want.rule, want.secret)
			}
		})
	}
}

func TestTwoBearersOnALineAreTwoFindings(t *testing.T) {
	t.Parallel()
	first, second := bearerOf(t, "lkpat_", 1), bearerOf(t, "lkpat_", 2)
	for name, text := range map[string]string{"space": first + " " + second, "comma": first + "," + second, "line": first + "\n" + second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, f := range scanFiles(t, map[string]string{"file": text})["file"] {
				got = append(got, f.Secret)
			}
			slices.Sort(got)
			if want := slices.Sorted(slices.Values([]string{first, second})); !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// A scanner that cries at everything is switched off.
func TestWhatOnlyLooksLikeABearerIsNotFound(t *testing.T) {
	t.Parallel()
	replaced := func(bearer string, at int, with string) string { return bearer[:at] + with + bearer[at+1:] }
	misses := map[string]func(prefix, bearer string) string{
		"one character is missing":           func(_, bearer string) string { return bearer[:len(bearer)-1] },
		"one character too many":             func(_, bearer string) string { return bearer + "x" },
		"two characters too many":            func(_, bearer string) string { return bearer + "x0" },
		"a longer word in front":             func(_, bearer string) string { return "x" + bearer },
		"a digit in front":                   func(_, bearer string) string { return "1" + bearer },
		"a hyphen among the characters":      func(_, bearer string) string { return replaced(bearer, 20, "-") },
		"an underscore among the characters": func(_, bearer string) string { return replaced(bearer, 20, "_") },
		"a letter of another alphabet":       func(_, bearer string) string { return replaced(bearer, 20, "ä") },
		"a plus at the last character":       func(_, bearer string) string { return replaced(bearer, len(bearer)-1, "+") },
		"a hyphen instead of the underscore": func(_, bearer string) string { return replaced(bearer, 5, "-") },
		"a prefix of something else":         func(_, bearer string) string { return replaced(bearer, 4, "z") },
		"a prefix in capitals":               func(prefix, bearer string) string { return strings.ToUpper(prefix) + bearer[len(prefix):] },
		"a placeholder of one letter":        func(prefix, bearer string) string { return prefix + strings.Repeat("x", len(bearer)-len(prefix)) },
		"a placeholder that repeats a word": func(prefix, bearer string) string {
			return prefix + strings.Repeat("token", 8)[:len(bearer)-len(prefix)]
		},
		"no characters behind the prefix":      func(prefix, _ string) string { return prefix },
		"the start of a bearer, as logs do it": func(_, bearer string) string { return bearer[:12] + "..." },
	}
	files := map[string]string{}
	for prefix := range rules {
		for _, owner := range owners {
			for miss, write := range misses {
				files[fmt.Sprintf("%s owner %d with %s", prefix, owner, miss)] = "value: " + write(prefix, bearerOf(t, prefix, owner)) + "\n"
			}
		}
	}
	// The files are of use only while one that is no miss is found among them.
	files["bearer"] = "value: " + bearerOf(t, "lkpat_", 1) + "\n"
	found := scanFiles(t, files)
	if len(found["bearer"]) != 1 {
		t.Errorf("%d findings in the file with a bearer, want one", len(found["bearer"]))
	}
	delete(files, "bearer")
	for name, text := range files {
		t.Run(name, func(t *testing.T) {
			for _, f := range found[name] {
				t.Errorf("%s found %q in %q", f.RuleID, f.Secret, text)
			}
		})
	}
}

// Every prefix that marks bearers of a new deployment has a rule.
func TestEveryPrefixHasARule(t *testing.T) {
	t.Parallel()
	for _, prefix := range config.DefaultPrefixes {
		if rules[prefix] == "" {
			t.Errorf("no rule for %s", prefix)
		}
	}
}

// Nothing in this repository is reported, so that whatever is reported is looked at. All rules count, the
// scanner's own as well. Two secrets are planted, because a scan of nothing reports nothing either.
func TestRepositoryIsClean(t *testing.T) {
	t.Parallel()
	copied := t.TempDir()
	copySources(t, projectRoot(t), copied)
	bearer := bearerOf(t, "lkpat_", 1)
	planted := map[string]string{"latchkey-personal-access-token": bearer, "gitlab-pat": "glpat-" + bearer[20:40]}
	for rule, secret := range planted {
		write(t, filepath.Join(copied, "pkg", rule), secret)
	}
	for _, f := range scan(t, copied, "--redact") {
		if f.File == filepath.Join("pkg", f.RuleID) {
			delete(planted, f.RuleID)
			continue
		}
		t.Errorf("%s:%d: %s; what is no secret gets an exception in .gitleaks.toml that says why", f.File, f.StartLine, f.RuleID)
	}
	for rule := range planted {
		t.Errorf("%s: what was planted is not reported", rule)
	}
}

// bearerOf makes a bearer as the product does, always the same one: the scanner's own exceptions pass over two
// of a million (those with "false" in them), and a test must not fail for that once in a while.
func bearerOf(tb testing.TB, prefix string, owner int64) string {
	tb.Helper()
	bearer, err := secret.New(prefix, owner, rand.NewChaCha8(sha256.Sum256(fmt.Append(nil, prefix, owner))))
	if err != nil {
		tb.Fatal(err)
	}
	return bearer.Reveal()
}

// scanFiles scans files with these texts and returns what our own rules find in each. The scanner's own, some of which
// take anything behind "token=" for a secret, are not at issue.
func scanFiles(tb testing.TB, files map[string]string) map[string][]finding {
	tb.Helper()
	folder, names := tb.TempDir(), map[string]string{}
	configuration, err := os.ReadFile(filepath.Join(projectRoot(tb), ".gitleaks.toml"))
	if err != nil {
		tb.Fatal(err)
	}
	write(tb, filepath.Join(folder, ".gitleaks.toml"), string(configuration))
	for name, text := range files {
		file := fmt.Sprintf("file%04d", len(names))
		names[file] = name
		write(tb, filepath.Join(folder, file), text)
	}
	found := map[string][]finding{}
	for _, f := range scan(tb, folder) {
		if strings.HasPrefix(f.RuleID, "latchkey-") {
			found[names[f.File]] = append(found[names[f.File]], f)
		}
	}
	return found
}

// scan runs the scanner in a folder, whose .gitleaks.toml it finds by itself.
func scan(tb testing.TB, folder string, options ...string) []finding {
	tb.Helper()
	arguments := []string{"dir", ".", "--no-banner", "--no-color", "--log-level=warn", "--report-format=json", "--report-path=-", "--exit-code=0"}
	command := exec.CommandContext(tb.Context(), scanner(tb), append(arguments, options...)...)
	command.Dir = folder
	command.Env = []string{"PATH=" + os.Getenv("PATH")} // no GITLEAKS_CONFIG
	var complaints bytes.Buffer
	command.Stderr = &complaints
	report, err := command.Output()
	if err != nil {
		tb.Fatalf("gitleaks: %v: %s", err, complaints.String())
	}
	var found []finding
	if err := json.Unmarshal(report, &found); err != nil {
		tb.Fatalf("report: %v: %s", err, complaints.String())
	}
	return found
}

var pinned = regexp.MustCompile(`(?m)^GITLEAKS_VERSION\s*:=\s*(\S+)$`)

// scanner names the command, in the version that the Makefile pins.
func scanner(tb testing.TB) string {
	tb.Helper()
	makefile, err := os.ReadFile(filepath.Join(projectRoot(tb), "Makefile"))
	if err != nil {
		tb.Fatal(err)
	}
	version := pinned.FindSubmatch(makefile)
	if version == nil {
		tb.Fatal("the Makefile pins no GITLEAKS_VERSION")
	}
	path := filepath.Join(projectRoot(tb), ".tools", "bin", "gitleaks-"+string(version[1]))
	if _, err := os.Stat(path); err != nil {
		tb.Fatalf("%v: `make tools` installs it", err)
	}
	return path
}

// copySources copies what is or could be committed: everything but what .gitignore names. That needs no
// repository, and it sees a leak before it is committed.
func copySources(tb testing.TB, from, to string) {
	tb.Helper()
	ignored := map[string]bool{".git": true}
	lines, err := os.ReadFile(filepath.Join(from, ".gitignore"))
	if err != nil {
		tb.Fatal(err)
	}
	for line := range strings.Lines(string(lines)) {
		name, ok := strings.CutPrefix(strings.TrimSuffix(strings.TrimSpace(line), "/"), "/")
		if !ok || strings.ContainsAny(name, "/*?[!") {
			tb.Fatalf(".gitignore: this test knows only names at the top, not %q", line)
		}
		ignored[name] = true
	}
	err = filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		switch {
		case err != nil:
			return err
		case ignored[name] && entry.IsDir():
			return filepath.SkipDir
		case ignored[name]:
			return nil
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), content, 0o600)
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func write(tb testing.TB, path, text string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// projectRoot is the folder of template.yaml.
func projectRoot(tb testing.TB) string {
	tb.Helper()
	table, err := tabledef.Path()
	if err != nil {
		tb.Fatal(err)
	}
	return filepath.Dir(filepath.Dir(table))
}
