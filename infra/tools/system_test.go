// Package tools_test runs system.sh on machines that exist only on PATH: a folder of stub programs, which
// print versions and install nothing.
package tools_test

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// goVersion is the version that go.mod asks for.
func goVersion(t *testing.T) string {
	t.Helper()
	module, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	return string(regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(module)[1])
}

// machine is the shell code of each program that the machine has.
type machine map[string]string

// recent is a machine that has everything, in the oldest versions that will do.
func recent(t *testing.T) machine {
	return machine{
		"go":      `case $1 in version) echo "go version go` + goVersion(t) + ` linux/amd64" ;; env) echo gcc ;; esac`,
		"java":    `echo 'Picked up JAVA_TOOL_OPTIONS: -Xmx64m'; echo 'openjdk version "17" 2021-09-14' >&2`,
		"mvn":     `echo 'Apache Maven 3.6.3 (abc)'`,
		"python3": `[ "$1" != --version ] || echo Python 3.11.0`,
		"gcc":     `exit 0`,
		"node":    `echo v20.19.0`,
		"npm":     `exit 0`,
		"id":      `echo 1000`,
	}
}

// with returns the machine with other programs; those without code are taken away.
func (m machine) with(programs machine) machine {
	changed := maps.Clone(m)
	maps.Copy(changed, programs)
	maps.DeleteFunc(changed, func(_, code string) bool { return code == "" })
	return changed
}

// run runs a command from the project's root with nothing but the machine's programs on PATH.
func (m machine) run(t *testing.T, environment []string, command string, arguments ...string) (string, error) {
	t.Helper()
	folder := t.TempDir()
	for name, code := range m {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("#!/bin/sh\n"+code+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	run := exec.CommandContext(t.Context(), command, arguments...)
	run.Dir = filepath.Join("..", "..")
	run.Env = append([]string{"PATH=" + folder}, environment...)
	out, err := run.CombinedOutput()
	return string(out), err
}

var (
	nothing = machine{"go": "", "java": "", "mvn": "", "python3": "", "gcc": "", "node": "", "npm": ""}
	debian  = machine{"apt-get": `echo "apt-get $*"`}
	root    = machine{"apt-get": `echo "apt-get $*" >&2`, "id": "echo 0"} // what apt-get prints goes nowhere
)

func TestNeeds(t *testing.T) {
	version := goVersion(t)
	goLink := "make: Go is at https://go.dev/doc/install\n"
	missing := "make: these are missing or too old on this machine:\n"
	for _, c := range []struct {
		name        string
		machine     machine
		environment []string
		target      string
		output      string // of a failure, without make's own line, or of a success
		fails       bool
	}{
		{"run needs Go only", recent(t).with(nothing).with(machine{"go": recent(t)["go"]}), nil, "needs-build", "", false},
		{"lint needs Go and Python", recent(t).with(machine{"java": "", "mvn": "", "gcc": "", "node": "", "npm": ""}), nil, "needs-lint", "", false},
		{"test needs no compiler and no Node", recent(t).with(machine{"gcc": "", "node": "", "npm": ""}), nil, "needs-test", "", false},
		{"race needs a compiler", recent(t), nil, "needs-race", "", false},
		{"everything that is missing is named at once", recent(t).with(nothing), nil, "needs-race",
			missing + "  Go " + version + " or later: not found\n" +
				"  Python 3.11 or later: not found\n" +
				"  Java 17 or later: not found\n" +
				"  Maven 3.6.3 or later: not found\n" +
				"  a C compiler with its library (gcc), for the race detector: not found\n" + goLink, true},
		{"everything that is too old is named at once", recent(t).with(machine{
			"go":      `echo "go version go1.19.8 linux/amd64"`,
			"java":    `echo 'openjdk version "11.0.24" 2024-07-16' >&2`,
			"mvn":     `echo 'Apache Maven 3.6.0'`,
			"python3": `echo Python 3.9.2`,
		}), nil, "needs-test",
			missing + "  Go " + version + " or later: found 1.19.8\n" +
				"  Python 3.11 or later: found 3.9.2\n" +
				"  Java 17 or later: found 11.0.24\n" +
				"  Maven 3.6.3 or later: found 3.6.0\n" + goLink, true},
		{"Java 8 calls itself 1.8", recent(t).with(machine{"java": `echo 'java version "1.8.0_292"' >&2`}), nil, "needs-test",
			missing + "  Java 17 or later: found 1.8.0\n", true},
		{"a later major version is recent", recent(t).with(machine{
			"java": `echo 'openjdk version "25.0.1" 2025-10-21' >&2`, "mvn": `echo 'Apache Maven 4.0.0-rc-5'`, "python3": `[ "$1" != --version ] || echo Python 4.0.0a1`,
		}), nil, "needs-test", "", false},
		{"a program that fails is not there", recent(t).with(machine{"java": `echo 'The operation could not be completed: version "17"' >&2; exit 1`}), nil, "needs-test",
			missing + "  Java 17 or later: not found\n", true},
		{"an older Go that fetches the version in go.mod is recent", recent(t).with(machine{
			"go": `[ "$GOTOOLCHAIN" = local ] && echo "go version go1.21.0 linux/amd64" || echo "go version go` + version + ` linux/amd64"`,
		}), nil, "needs-build", "", false},
		{"an older Go that cannot fetch it is too old", recent(t).with(machine{
			"go": `[ "$GOTOOLCHAIN" = local ] && echo "go version go1.21.0 linux/amd64" || { echo "go: download go` + version + `: no such host" >&2; exit 1; }`,
		}), nil, "needs-build",
			missing + "  Go " + version + " or later: found 1.21.0\n" + goLink, true},
		{"Python without venv", recent(t).with(machine{"python3": `[ "$1" = --version ] && echo Python 3.11.2`}).with(debian), nil, "needs-lint",
			missing + "  Python's venv: not found\nmake: on Debian: apt-get install --no-install-recommends python3-venv\n", true},
		{"a compiler without the C library's files", recent(t).with(machine{"clang": "exit 1"}).with(debian), []string{"CC=clang"}, "needs-race",
			missing + "  a C compiler with its library (clang), for the race detector: not found\n" +
				"make: on Debian: apt-get install --no-install-recommends gcc libc6-dev\n", true},
		{"somebody who is not root is told the packages", recent(t).with(machine{"java": "", "mvn": ""}).with(debian), nil, "needs-test",
			missing + "  Java 17 or later: not found\n  Maven 3.6.3 or later: not found\n" +
				"make: on Debian: apt-get install --no-install-recommends default-jre-headless maven\n", true},
		{"root may refuse", recent(t).with(machine{"mvn": ""}).with(root), []string{"SYSTEM_INSTALL=no"}, "needs-test",
			missing + "  Maven 3.6.3 or later: not found\n" +
				"make: on Debian: apt-get install --no-install-recommends maven\n", true},
		{"root installs nothing when Go is missing as well", recent(t).with(machine{"go": "", "mvn": ""}).with(root), nil, "needs-test",
			missing + "  Go " + version + " or later: not found\n  Maven 3.6.3 or later: not found\n" + goLink +
				"make: on Debian: apt-get install --no-install-recommends maven\n", true},
		{"root is told first, then the packages are installed",
			recent(t).with(machine{"mvn": `echo 'Apache Maven 3.0.5'`}).with(root).with(machine{
				"apt-get": `echo "apt-get $*" >&2; [ "$1" != install ] || echo "echo 'Apache Maven 3.8.7'" >"${0%/*}/mvn"`,
			}), nil, "needs-test",
			missing + "  Maven 3.6.3 or later: found 3.0.5\n" +
				"make: installing system-wide with apt-get: maven\nmake: (set SYSTEM_INSTALL=no to refuse that)\n" +
				"apt-get update -qq\napt-get install -y -qq --no-install-recommends maven\n", false},
		{"what the system's packages leave too old is named", recent(t).with(machine{"java": `echo 'openjdk version "11.0.24"' >&2`}).with(root), nil, "needs-test",
			missing + "  Java 17 or later: found 11.0.24\n" +
				"make: installing system-wide with apt-get: default-jre-headless\nmake: (set SYSTEM_INSTALL=no to refuse that)\n" +
				"apt-get update -qq\napt-get install -y -qq --no-install-recommends default-jre-headless\n" +
				missing + "  Java 17 or later: found 11.0.24\n" +
				"make: on Debian: apt-get install --no-install-recommends default-jre-headless\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			output, err := c.machine.run(t, c.environment, "make", c.target)
			if (err != nil) != c.fails {
				t.Errorf("make %s: %v", c.target, err)
			}
			output = regexp.MustCompile(`(?m)^make: \*\*\* .*\n`).ReplaceAllString(output, "")
			if diff := cmp.Diff(c.output, output); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
}

// Breaks if `make acceptance` leaves an sshd or a registry running on somebody's machine, or takes a policy away.
func TestServicesOfPackagesAreNotStarted(t *testing.T) {
	folder := t.TempDir()
	policy := filepath.Join(folder, "policy-rc.d")
	on := recent(t).with(root).with(machine{
		"chmod": `/bin/chmod "$@"`, "rm": `/bin/rm "$@"`,
		"systemctl": `echo "systemctl $*"`,
		"apt-get": `[ "$1" = install ] || exit 0; "$POLICY_RC_D" ssh start; echo "policy says $?" >&2
			echo "exit 0" >"${0%/*}/docker-registry"; /bin/chmod 755 "${0%/*}/docker-registry"`,
	})
	environment := []string{"POLICY_RC_D=" + policy}
	output, err := on.run(t, environment, "sh", "infra/tools/system.sh", "need", "docker-registry")
	want := "make: these are missing or too old on this machine:\n  docker-registry: not found\n" +
		"make: installing system-wide with apt-get: docker-registry\nmake: (set SYSTEM_INSTALL=no to refuse that)\n" +
		"make: these services are not started, now or at boot: docker-registry.service\npolicy says 101\n" +
		"systemctl -q disable --now docker-registry.service\n"
	if diff := cmp.Diff(want, output); diff != "" || err != nil {
		t.Errorf("%v, output (-want +got):\n%s", err, diff)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("the policy is still there: %v %v", left, err)
	}
	if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 104\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	output, err = on.run(t, environment, "sh", "infra/tools/system.sh", "need", "docker-registry")
	if _, kept := os.Stat(policy); err != nil || kept != nil || !strings.Contains(output, "policy says 104") {
		t.Errorf("%v, the machine's own policy: %v: %s", err, kept, output)
	}
}

func TestNode(t *testing.T) {
	for _, c := range []struct {
		name    string
		machine machine
		serves  bool
	}{
		{"20.19 is recent enough", recent(t), true},
		{"a later major version is recent enough", recent(t).with(machine{"node": "echo v24.0.0"}), true},
		{"20.9 comes before 20.19", recent(t).with(machine{"node": "echo v20.9.0"}), false},
		{"18 is too old", recent(t).with(machine{"node": "echo v18.20.4"}), false},
		{"none is there", recent(t).with(machine{"node": ""}), false},
		{"npm is missing", recent(t).with(machine{"npm": ""}), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			output, err := c.machine.run(t, nil, "sh", "infra/tools/system.sh", "has", "node")
			if (err == nil) != c.serves || strings.TrimSpace(output) != "" {
				t.Errorf("has node: %v, %q", err, output)
			}
		})
	}
}

// Breaks if make lets a shell read what an operator passes on: an apostrophe is good in a mail address.
func TestMakePassesValuesOnAsTheyAre(t *testing.T) {
	t.Parallel()
	tools := t.TempDir()
	bin := filepath.Join(tools, "sam", "bin")
	if err := errors.Join(
		os.MkdirAll(bin, 0o700),
		os.WriteFile(filepath.Join(bin, "python"), []byte("#!/bin/sh\nprintf '<%s>' \"$EMAIL\" \"$ADMIN\" \"$STEP\" \"$FORCE\" \"$RESTORED_TO\" \"$MADE_BEFORE\"\n"), 0o700),
		os.WriteFile(filepath.Join(tools, "sam", ".installed"), nil, 0o600),
	); err != nil {
		t.Fatal(err)
	}
	for target, test := range map[string]struct {
		given []string
		want  string
	}{
		"administrator": {[]string{"EMAIL=o'brien@example.test", "ADMIN=a b; exit 3"}, "<o'brien@example.test><a b; exit 3><><><><>"},
		"pepper":        {[]string{"STEP=re'move", "FORCE="}, "<><><re'move><><><>"},
		"restore":       {[]string{"STEP=end", "RESTORED_TO='", "MADE_BEFORE=2026-03-19T08:00:00Z"}, "<><><end><><'><2026-03-19T08:00:00Z>"},
	} {
		for way, arguments := range map[string][]string{"as arguments": test.given, "in the environment": nil} {
			run := exec.CommandContext(t.Context(), "make", append([]string{"TOOLS=" + tools, target}, arguments...)...)
			run.Dir = filepath.Join("..", "..")
			run.Env = []string{"PATH=" + os.Getenv("PATH")}
			if arguments == nil {
				run.Env = append(run.Env, test.given...)
			}
			if out, err := run.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != test.want {
				t.Errorf("%s %s: %v, %s, want %s", target, way, err, out, test.want)
			}
		}
	}
}
