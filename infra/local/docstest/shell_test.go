package docstest_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// A reader follows one page: in a shell, in a checkout, with what `make run`
// starts.
type reader struct {
	tb      testing.TB
	program string // that `make run` starts
	folder  string
	server  *exec.Cmd

	shell  *exec.Cmd
	stdin  io.Writer
	stdout *bufio.Reader
	blocks int
}

// newReader returns a reader whose checkout holds what the project's does and
// may be written to.
func newReader(tb testing.TB, program string) *reader {
	tb.Helper()
	r := &reader{tb: tb, program: program, folder: tb.TempDir()}
	entries, err := os.ReadDir(root(tb))
	check(tb, err)
	for _, entry := range entries {
		switch entry.Name() {
		case ".git", ".local", "build":
		default:
			check(tb, os.Symlink(filepath.Join(root(tb), entry.Name()), filepath.Join(r.folder, entry.Name())))
		}
	}
	tb.Cleanup(func() {
		r.stop(r.shell)
		r.stop(r.server)
	})
	return r
}

// environ is what a reader's shell has: nothing of this machine's but its programs.
func (r *reader) environ(more ...string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.folder, "LC_ALL=C.UTF-8", "AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", goCaches()}, more...)
}

// goCaches keeps a page's go commands from compiling everything anew.
var goCaches = sync.OnceValue(func() string {
	cache, _ := exec.CommandContext(context.Background(), "go", "env", "GOCACHE").Output() // without it they are slow
	return "GOCACHE=" + strings.TrimSpace(string(cache))
})

func (r *reader) command(name string, arguments ...string) *exec.Cmd {
	cmd := exec.CommandContext(r.tb.Context(), name, arguments...)
	cmd.Dir, cmd.Env = r.folder, r.environ()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func (r *reader) stop(cmd *exec.Cmd) {
	if cmd != nil && cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}
}

var (
	makeRun = regexp.MustCompile(`^((?:[A-Z_]+=\S+ +)*)make run$`)
	address = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)
)

// keeper becomes the program and leaves a watcher behind that kills it when standard input ends: a test
// that is killed leaves nothing running.
const keeper = `exec 3<&0
(read -r _ <&3; kill -9 $$) &
exec "$0" </dev/null 3<&-`

// start does what `make run` does, with variables in front of it, on a free
// port. What ran before ends.
func (r *reader) start(variables []string) {
	r.tb.Helper()
	r.stop(r.server)
	check(r.tb, os.RemoveAll(filepath.Join(r.folder, ".local")))
	r.server = r.command("sh", "-c", keeper, r.program)
	if _, err := r.server.StdinPipe(); err != nil { // open until this process ends
		r.tb.Fatal(err)
	}
	r.server.Env = r.environ(append(variables, "PORT=0")...)
	logs, err := os.Create(filepath.Join(r.folder, "make-run.log"))
	check(r.tb, err)
	r.server.Stderr = logs
	stdout, err := r.server.StdoutPipe()
	check(r.tb, err)
	check(r.tb, r.server.Start())
	check(r.tb, logs.Close())
	banner := bufio.NewReader(stdout)
	for {
		line, err := banner.ReadString('\n')
		if err != nil {
			said, _ := os.ReadFile(logs.Name())
			r.tb.Fatalf("make run does not start: %v: %s", err, said)
		}
		if address.MatchString(line) {
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, banner) }() // so that it can go on writing; ends with the program

	// Readers have the default port and so the default name.
	files, err := filepath.Glob(filepath.Join(r.folder, ".local", "env*"))
	check(r.tb, err)
	if len(files) != 1 {
		r.tb.Fatalf("make run leaves %v for the shell", files)
	}
	if name := filepath.Join(r.folder, ".local", "env"); files[0] != name {
		check(r.tb, os.Rename(files[0], name))
	}
}

// run runs a block in the page's shell and returns what it prints. A command
// that fails ends the test, with all that was printed.
func (r *reader) run(where string, b block) string {
	r.tb.Helper()
	if r.shell == nil {
		r.shell = r.command("bash", "-eu", "-o", "pipefail")
		var err error
		r.stdin, err = r.shell.StdinPipe()
		check(r.tb, err)
		stdout, err := r.shell.StdoutPipe()
		check(r.tb, err)
		r.shell.Stderr = r.shell.Stdout
		r.stdout = bufio.NewReader(stdout)
		check(r.tb, r.shell.Start())
	}
	r.blocks++
	script, end := filepath.Join(r.tb.TempDir(), "block.sh"), "end "+rand.Text()
	check(r.tb, os.WriteFile(script, []byte(b.content), 0o600))
	// Without input, or a command could read the lines that are for the shell.
	if _, err := fmt.Fprintf(r.stdin, ". %s </dev/null\nprintf '\\n%s\\n'\n", script, end); err != nil {
		r.tb.Fatalf("%s: the shell has ended: %v", where, err)
	}
	var printed strings.Builder
	for {
		line, err := r.stdout.ReadString('\n')
		if strings.TrimSpace(line) == end {
			return printed.String()
		}
		printed.WriteString(line)
		if err != nil {
			r.tb.Fatalf("%s: a command fails (`make tools` installs those in .tools):\n%s\nprints\n%s", where, b.content, printed.String())
		}
	}
}
