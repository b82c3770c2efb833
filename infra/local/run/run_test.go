package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/infra/cloud/tabledef"
)

// The tests run the program itself, in processes of their own: this test's binary is it as well.
func TestMain(m *testing.M) {
	if os.Getenv("BE_LATCHKEY") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// folder is an empty one, but for what the program reads of the repository.
func folder(t *testing.T) string {
	t.Helper()
	table, err := tabledef.Path()
	if err != nil {
		t.Fatal(err)
	}
	root, dir := filepath.Dir(filepath.Dir(table)), t.TempDir()
	for _, name := range []string{"go.mod", "template.yaml", "infra"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A screenful is what a process has written so far to one of its outputs.
type screenful struct {
	mu      sync.Mutex
	grown   *sync.Cond
	text    string
	isEnded bool
}

func follow(r io.Reader) *screenful {
	s := &screenful{}
	s.grown = sync.NewCond(&s.mu)
	go func() {
		lines := bufio.NewReader(r)
		for {
			line, err := lines.ReadString('\n')
			s.mu.Lock()
			s.text, s.isEnded = s.text+line, err != nil
			s.grown.Broadcast()
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

// patience is longer than any machine needs; it is for tests that would never end.
const patience = 15 * time.Minute

// wait returns all text once a pattern is in it, and fails if it ends without.
func (s *screenful) wait(t *testing.T, pattern string) string {
	t.Helper()
	return s.waitFor(t, pattern, regexp.MustCompile(pattern).MatchString)
}

// after returns the next lines that come after do.
func (s *screenful) after(t *testing.T, lines int, do func()) string {
	t.Helper()
	before := s.wait(t, ``)
	do()
	return s.waitFor(t, "more lines", func(text string) bool { return strings.Count(text[len(before):], "\n") >= lines })[len(before):]
}

func (s *screenful) waitFor(t *testing.T, what string, there func(text string) bool) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	defer context.AfterFunc(ctx, s.grown.Broadcast)()
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; !there(s.text); s.grown.Wait() {
		if s.isEnded || ctx.Err() != nil {
			t.Fatalf("without %s:\n%s", what, s.text)
		}
	}
	return s.text
}

func (s *screenful) end() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.isEnded {
		s.grown.Wait()
	}
	return s.text
}

// A process is the program at work.
type process struct {
	command     *exec.Cmd
	out, faults *screenful
	banner      *screenful // the one of them that has the banner
	dir         string
}

// launch starts the program in dir with no environment but the given one.
func launch(t *testing.T, dir string, args []string, env ...string) *process {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{command: exec.CommandContext(t.Context(), executable, args...), dir: dir}
	p.command.Dir = dir
	p.command.Env = append([]string{"BE_LATCHKEY=1", "PATH=" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	var pipes [2]io.Reader
	if pipes[0], err = p.command.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if pipes[1], err = p.command.StderrPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	p.out, p.faults = follow(pipes[0]), follow(pipes[1])
	p.banner = p.out
	if slices.Contains(env, "LOG=json") {
		p.banner = p.faults
	}
	return p
}

// greeted is the end of the banner.
const greeted = `expiring/invocations" -d '.*'\n\n`

// start launches an instance on a free port and returns once its banner is there.
func start(t *testing.T, dir string, env ...string) *process {
	t.Helper()
	p := launch(t, dir, nil, append([]string{"PORT=0"}, env...)...)
	p.banner.wait(t, greeted)
	return p
}

// stop ends it as Ctrl-C does, which is a success, and returns all that it wrote to standard output.
func (p *process) stop(t *testing.T) string {
	t.Helper()
	if err := p.command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	out, faults := p.out.end(), p.faults.end()
	if err := p.command.Wait(); err != nil {
		t.Errorf("Ctrl-C: %v, %s", err, faults)
	}
	return out
}

// exit waits for the end and returns the status and both outputs.
func (p *process) exit() (status int, out, faults string) {
	out, faults = p.out.end(), p.faults.end()
	_ = p.command.Wait() // the status says it
	return p.command.ProcessState.ExitCode(), out, faults
}

var port = regexp.MustCompile(`Latchkey runs at http://127\.0\.0\.1:([0-9]+) `)

// suffix is what the names of an instance's files end with.
func (p *process) suffix(t *testing.T) string {
	t.Helper()
	return "-" + port.FindStringSubmatch(p.banner.wait(t, port.String()))[1]
}

func (p *process) file(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(p.dir, ".local", name+p.suffix(t)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// pasted matches what the banner has to paste.
var pasted = regexp.MustCompile(`(?m)^  (?:\. |TRY=|curl )(?:.*\\\n)*.*\n`)

// paste runs the commands of the banner in one shell, and returns what each of them printed.
func (p *process) paste(t *testing.T, more ...string) []string {
	t.Helper()
	commands := append(pasted.FindAllString(p.banner.wait(t, greeted), -1), more...)
	const mark = "\n=== next\n"
	script := strings.Join(commands, "\nprintf '"+strings.ReplaceAll(mark, "\n", `\n`)+"'\n")
	shell := exec.CommandContext(t.Context(), "sh", "-c", script)
	shell.Dir = p.dir
	var faults bytes.Buffer
	shell.Stderr = &faults
	out, err := shell.Output()
	if err != nil || faults.Len() > 0 {
		t.Fatalf("%s\n%v %s", script, err, faults.String())
	}
	return strings.Split(string(out), mark)
}

var (
	bearer = regexp.MustCompile(`lk(pat|prj|imp)_[0-9A-Za-z]{30,}`)
	// secrets are bearers, digests and mail addresses.
	secrets = regexp.MustCompile(bearer.String() + `|(TOKEN|IDEMPOTENCY)#[0-9A-Za-z_-]{20,}|"[0-9A-Za-z_-]{43}"|[0-9A-Za-z._+-]+@[0-9A-Za-z-]+\.[0-9A-Za-z.]+`)
)

// afterBanner is what was shown once the banner was there.
func afterBanner(t *testing.T, out string) string {
	t.Helper()
	end := regexp.MustCompile(greeted).FindStringIndex(out)
	if end == nil {
		t.Fatalf("no banner in\n%s", out)
	}
	return out[end[1]:]
}

// What a stranger sees first: the banner and nothing else, although a start with SEED makes twenty
// requests. What it says to paste makes a token, uses that one, shows a refusal and ends it.
func TestBannerAndWhatItSaysToPaste(t *testing.T) {
	t.Parallel()
	p := start(t, folder(t), "SEED=1")
	got := p.paste(t, `curl -sS -H "PRIVATE-TOKEN: $LATCHKEY_TOKEN" "$LATCHKEY_URL/api/v4/user"`)
	for i, test := range []struct{ name, prints string }{
		{"the shell is told where and who", `^$`},
		{"a token is made", `^lkpat_[0-9A-Za-z]+\n$`},
		{"that token reads", `^HTTP/1.1 200 OK[^{]*{"caller":{.*"scopes":"read_api","token_id":"4194306".*"path":"/hello"}\n$`},
		{"it is refused what its scope does not open", `^HTTP/1.1 403 Forbidden[^{]*{"Message":"User is not authorized to access this resource"}\n$`},
		{"it ends itself", `^HTTP/1.1 204 No Content`},
		{"it is refused", `^HTTP/1.1 403 Forbidden[^{]*{"Message":"User is not authorized .*"}\n$`},
		{"a mail is sent", `^{"done":true,"tokens":4,"mails":3,"failed":0}`},
		{"the administrator's token still works", `"username":"root"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if i >= len(got) || !regexp.MustCompile(test.prints).MatchString(got[i]) {
				t.Errorf("command %d of %q, want %s", i+1, got, test.prints)
			}
		})
	}
	out := p.stop(t)
	if !strings.HasPrefix(out, "\nLatchkey runs at ") || strings.Contains(out, `"msg"`) {
		t.Errorf("there is something else than the banner and lines:\n%s", out)
	}
	shown := afterBanner(t, out)
	const at = `(?m)^\d\d:\d\d:\d\d  `
	for i, line := range []string{
		at + `mail  \d access tokens? expires? on \S+ \(in \d days\)  http://127.0.0.1:\d+/mailbox/[1-3]$`,
		at + `201  POST /api/v4/users/1/personal_access_tokens  \d+ ms  token 4194305 of user 1  token issued \(token 4194306\)$`,
		at + `200  GET /sample/hello  \d+ ms  token 4194306 of user 1$`,
		at + `403  DELETE /sample/hello  \d+ ms  token 4194306 of user 1  ACCESS_DENIED: User is not authorized to access this resource; its scopes: read_api$`,
		at + `204  DELETE /api/v4/personal_access_tokens/self  \d+ ms  token 4194306 of user 1  token revoked \(token 4194306\)$`,
		at + `403  GET /sample/hello  \d+ ms  token 4194306 of user 1  token invalid: revoked$`,
		at + `scan expiring for \S+  examined 4, due 4, mails 3, marked 4  \d+ ms$`,
		at + `200  POST /2015-03-31/functions/expiring/invocations  \d+ ms$`,
		at + `200  GET /api/v4/user  \d+ ms  token 4194305 of user 1$`,
	} {
		want := 1
		if i == 0 {
			want = 3
		}
		if n := len(regexp.MustCompile(line).FindAllString(shown, -1)); n != want {
			t.Errorf("%d lines %s, want %d, in\n%s", n, line, want, shown)
		}
	}
	if lines := strings.Count(shown, "\n"); lines != 3+8+2 { // mails, the others of above, the end
		t.Errorf("%d lines:\n%s", lines, shown)
	}
}

// do sends a request to an instance, its path as it stands.
func (p *process) do(t *testing.T, method, path, bearer, form string) {
	t.Helper()
	address := "http://127.0.0.1:" + strings.TrimPrefix(p.suffix(t), "-")
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	request.URL.Opaque = path
	if bearer != "" {
		request.Header.Set("PRIVATE-TOKEN", bearer)
	}
	if strings.HasSuffix(path, "/invocations") {
		request.Header.Set("Authorization", "AWS4-HMAC-SHA256 local")
	}
	if form != "" {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
}

// Every kind of request has its line, and clients that put something secret where it does not belong
// do not get it onto the screen or into the file.
func TestLines(t *testing.T) {
	t.Parallel()
	p := start(t, folder(t))
	root := bearer.FindString(p.file(t, "env"))
	wrong := root[:len(root)-1] + "_"
	for _, test := range []struct{ name, method, path, bearer, form, line string }{
		{"no bearer", "GET", "/api/v4/user", "", "", `401  GET /api/v4/user  \d+ ms  token invalid: none presented`},
		{"an unknown bearer", "GET", "/api/v4/version", wrong, "", `401  GET /api/v4/version  \d+ ms  token invalid: unknown: bearer malformed`},
		{"an unknown bearer at the sample API", "GET", "/sample/version", wrong, "", `403  GET /sample/version  \d+ ms  token invalid: unknown: bearer malformed`},
		{"a bearer in the query", "GET", "/sample/query?private_token=" + root, "", "", `200  GET /sample/query  \d+ ms  token 4194305 of user 1`},
		{"a bearer in the path", "GET", "/api/v4/personal_access_tokens/" + root, root, "", `404  GET /api/v4/personal_access_tokens/…  \d+ ms  .*`},
		{"a bearer in the path of no route", "GET", "/other/" + root, "", "", `404  GET /other/…  \d+ ms  no such route`},
		{"a mail address in the path", "GET", "/sample/a@b.example", root, "", `200  GET /sample/…  \d+ ms  .*`},
		{"an encoded mail address in the path", "GET", "/sample/a%40b.example", root, "", `200  GET /sample/…  \d+ ms  .*`},
		{"bytes that steer terminals", "GET", "/sample/a\xc2\x9bz", root, "", `500  GET /sample/a\?z  \d+ ms  .*`}, // no policy can name it
		{"somebody is made", "POST", "/api/v4/users", root, "username=ada&name=Ada&email=ada@example.test&force_random_password=true",
			`201  POST /api/v4/users  \d+ ms  token 4194305 of user 1  user created \(user 2\)`},
		{"an administrator acts as somebody", "GET", "/api/v4/user?sudo=ada", root, "", `200  GET /api/v4/user  \d+ ms  token 4194305 of user 2, used by user 1`},
		{"a page", "GET", "/mailbox/", "", "", `200  GET /mailbox/  \d+ ms`},
		{"a console payload", "POST", "/2015-03-31/functions/issue/invocations", "", `{"action":"create_token","username":"ada","name":"x","scopes":["api"]}`,
			`issue: token issued \(token 8388609\)\n\S+  200  POST /2015-03-31/functions/issue/invocations  \d+ ms`},
	} {
		t.Run(test.name, func(t *testing.T) {
			shown := p.out.after(t, 1+strings.Count(test.line, `\n`), func() { p.do(t, test.method, test.path, test.bearer, test.form) })
			if !regexp.MustCompile(`^\d\d:\d\d:\d\d  ` + test.line + `\n$`).MatchString(shown) {
				t.Errorf("shows\n%swant\n%s", shown, test.line)
			}
		})
	}
	t.Run("a leak report, and the mail that is sent when the queue delivers it", func(t *testing.T) {
		lines := []string{
			`204  POST /api/v4/token_leaks  \d+ ms  leaked token revoked \(token 4194305\)  leak reported \(count 1\)`,
			`mail  1 access token was revoked because it was reported as leaked  \S+/mailbox/1`,
			`leakmails: leak announced`,
		}
		shown := p.out.after(t, len(lines), func() { p.do(t, "POST", "/api/v4/token_leaks", "", "tokens[]="+root) })
		for _, line := range lines { // in any order
			if !regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d  ` + line + `$`).MatchString(shown) {
				t.Errorf("shows\n%swant\n%s", shown, line)
			}
		}
	})
	logged := p.file(t, "log")
	shown := afterBanner(t, p.stop(t))
	if found := secrets.FindString(logged + shown); found != "" {
		t.Errorf("%s was logged", found)
	}
	for _, line := range strings.Split(strings.TrimSpace(logged), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	for _, fact := range []string{`"msg":"user created"`, `"msg":"request finished"`, `"msg":"leak reported"`, `"_aws":`, `"msg":"bearer refused"`} {
		if !strings.Contains(logged, fact) {
			t.Errorf("no %s in\n%s", fact, logged)
		}
	}
	if strings.Contains(logged, "request served") {
		t.Error("the file has a line that no function writes")
	}
}

// A refusal's reason comes from the authorizer's log, which does not name the request.
func TestReasonsBelongToTheirRequests(t *testing.T) {
	t.Parallel()
	p := start(t, folder(t))
	root := bearer.FindString(p.file(t, "env"))
	var clients sync.WaitGroup
	const each = 20
	for range each {
		clients.Go(func() { p.do(t, "GET", "/sample/none", "", "") })
		clients.Go(func() { p.do(t, "GET", "/sample/malformed", "lkpat_nothing-that-we-made", "") })
		clients.Go(func() { p.do(t, "GET", "/sample//twice", root, "") })
	}
	clients.Wait()
	shown := afterBanner(t, p.stop(t))
	for _, line := range []string{`/sample/none  \d+ ms  token invalid: none presented`, `/sample/malformed  \d+ ms  .*malformed`, `/sample//twice  \d+ ms  .*path.*`} {
		if n := len(regexp.MustCompile(`(?m)403  GET `+line+`$`).FindAllString(shown, -1)); n != each {
			t.Errorf("%d lines %s, want %d:\n%s", n, line, each, shown)
		}
	}
}

// A program that reads the log gets JSON and nothing else.
func TestLogJSON(t *testing.T) {
	t.Parallel()
	p := start(t, folder(t), "LOG=json")
	p.do(t, "GET", "/api/v4/user", "", "")
	p.out.wait(t, `"msg":"request finished".*\n`)
	logged := p.file(t, "log")
	out := p.stop(t)
	if out == "" || !strings.HasSuffix(logged, out) {
		t.Errorf("shown\n%s\nand in the file\n%s", out, logged)
	}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

// Two instances in one folder keep their own files, and take them along when they end.
func TestTwoInstancesInOneFolder(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	first := start(t, dir)
	env := first.file(t, "env")
	second := start(t, dir)
	if first.file(t, "env") != env || second.file(t, "env") == env {
		t.Errorf("first was told\n%s\nand now\n%s\nsecond\n%s", env, first.file(t, "env"), second.file(t, "env"))
	}
	for _, p := range []*process{first, second} {
		if got := p.paste(t); !strings.Contains(got[2], "200 OK") {
			t.Errorf("its commands print %q", got)
		}
	}
	for _, p := range []*process{second, first} {
		p.stop(t)
		if _, err := os.Stat(filepath.Join(dir, ".local", "env"+p.suffix(t))); !os.IsNotExist(err) {
			t.Errorf("a shell is still told of what has ended: %v", err)
		}
		if !strings.Contains(p.file(t, "log"), "token issued") {
			t.Error("the log is gone")
		}
	}
	for port, want := range map[int]string{usualPort: ".local/env .local/log", 8081: ".local/env-8081 .local/log-8081"} {
		if env, log := files(port); filepath.ToSlash(env+" "+log) != want {
			t.Errorf("port %d: %s %s, want %s", port, env, log, want)
		}
	}
}

// The log is that of one run, so that it does not grow for ever.
func TestLogStartsAnew(t *testing.T) {
	name := filepath.Join(t.TempDir(), ".local", "log")
	for _, run := range []string{"first", "second"} {
		log, err := openLog(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.WriteString(run); err != nil {
			t.Fatal(err)
		}
		log.Close()
	}
	if content, err := os.ReadFile(name); err != nil || string(content) != "second" {
		t.Errorf("%s, %v", content, err)
	}
}

// A start that cannot be says why in a line, and leaves alone what another instance has written.
func TestFaults(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	running := start(t, dir)
	env, taken := running.file(t, "env"), strings.TrimPrefix(running.suffix(t), "-")
	scopes := filepath.Join(dir, "scopes.json")
	write(t, scopes, `{"scopes":[{"name":"a b"}],"rules":[{"path":"x","scopes":["y"]}]}`)
	nobody, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + nobody.Addr().String()
	nobody.Close()
	somebody := httptest.NewServer(http.NotFoundHandler())
	defer somebody.Close()
	for _, test := range []struct {
		name string
		args []string
		env  []string
		says string
	}{
		{"a port that is in use", nil, []string{"PORT=" + taken}, `port ` + taken + ` is in use; choose another one, as in PORT=\d+ make run`},
		{"a port that is no number", nil, []string{"PORT=http"}, `PORT is "http", not a number from 0 to 65535`},
		{"an address that is none", nil, []string{"LISTEN=here"}, `LISTEN is "here", not an address such as 127.0.0.1`},
		{"an address beyond this machine", nil, []string{"LISTEN=0.0.0.0"}, `LISTEN is 0.0.0.0, beyond this machine, and HOSTS does not say by which names clients call`},
		{"a port that does not exist", nil, []string{"PORT=65536"}, `PORT is "65536", not a number from 0 to 65535`},
		{"another seed", nil, []string{"SEED=yes"}, `SEED is "yes", not 0 or 1`},
		{"another log", nil, []string{"LOG=text"}, `LOG is "text", not json or empty`},
		{"all faults at once", nil, []string{"PORT=x", "SEED=x", "LOG=x"}, `PORT is .*; SEED is .*; LOG is .*`},
		{"a catalog that is not there", nil, []string{"SCOPES_FILE=none.json"}, `SCOPES_FILE: open none.json: no such file or directory`},
		{"a catalog with faults", nil, []string{"SCOPES_FILE=scopes.json"}, `SCOPES_FILE: rules file: line 1, column .*: scope "a b".*; line 1, column .*: rule path "x".*; line 1, .*: rule for x .*`},
		{"a backend without a scheme", nil, []string{"SAMPLE_BACKEND=127.0.0.1:9000"}, `SAMPLE_BACKEND is not an address such as http://127.0.0.1:9000`},
		{"an engine without a scheme", nil, []string{"DYNAMODB_ENDPOINT=localhost:8000"}, `DYNAMODB_ENDPOINT is not an address such as http://127.0.0.1:8000`},
		{"an engine that is not there", nil, []string{"DYNAMODB_ENDPOINT=" + closed}, `DYNAMODB_ENDPOINT: no answer from ` + closed + `: dial tcp \S+ connect: connection refused`},
		{"something else than an engine", nil, []string{"DYNAMODB_ENDPOINT=" + somebody.URL}, `DYNAMODB_ENDPOINT: ` + somebody.URL + ` is not DynamoDB; it answers with status 404`},
		{"an argument", []string{"8081"}, nil, `\["8081"\]: arguments are not understood; -h lists the environment variables`},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, out, faults := launch(t, dir, test.args, append([]string{"PORT=0"}, test.env...)...).exit()
			faults = strings.TrimPrefix(faults, "starting…\n") // the machine is slow
			if status != 1 || out != "" || !regexp.MustCompile(`^latchkey: `+test.says+`\n$`).MatchString(faults) {
				t.Errorf("status %d, says\n%s%s", status, out, faults)
			}
		})
	}
	if running.file(t, "env") != env {
		t.Error("what the shell is told of the one that runs has changed")
	}
	running.stop(t)
}

// A start that takes long says that it is one.
func TestSlowStartShowsLife(t *testing.T) {
	t.Parallel()
	engine, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0") // takes connections and answers nothing
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	p := launch(t, folder(t), nil, "PORT=0", "DYNAMODB_ENDPOINT=http://"+engine.Addr().String())
	p.faults.wait(t, `^starting…\n`)
	p.stop(t) // Ctrl-C ends it here too
}

func TestHelpNamesEveryVariable(t *testing.T) {
	status, out, faults := launch(t, t.TempDir(), []string{"-h"}).exit()
	if status != 0 || faults != "" {
		t.Errorf("status %d, %s", status, faults)
	}
	variables := []string{"AWS_PROFILE", "AWS_ACCESS_KEY_ID"}
	if _, err := readSettings(func(name string) string { variables = append(variables, name); return "" }); err != nil {
		t.Fatal(err)
	}
	for _, name := range variables {
		if !strings.Contains(out, "\n  "+name) && !strings.Contains(out, " "+name+",") {
			t.Errorf("nothing about %s in\n%s", name, out)
		}
	}
	if len(variables) < 8 {
		t.Errorf("only %v are read", variables)
	}
}

// An API and scopes of one's own, as they will be in AWS.
func TestOwnAPIAndScopes(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Method+" "+r.URL.Path+" by "+r.Header.Get("X-Latchkey-Username")+" with "+r.Header.Get("X-Latchkey-Scopes")+"\n")
	}))
	defer backend.Close()
	dir := folder(t)
	write(t, filepath.Join(dir, "scopes.json"), `{
		"scopes": [{"name": "orders:read"}, {"name": "orders:write", "implies": ["orders:read"]}],
		"rules": [{"methods": ["GET", "HEAD"], "path": "/orders*", "scopes": ["orders:read"]}, {"methods": ["DELETE"], "path": "/orders/*", "scopes": ["orders:write"]}]
	}`)
	p := start(t, dir, "SCOPES_FILE=scopes.json", "SAMPLE_BACKEND="+backend.URL)
	p.banner.wait(t, `  your API +`+backend.URL+`, behind the authorizer at http://\S+/sample/\n  scopes +those of scopes.json, and GitLab's\n`)
	got := p.paste(t)
	for i, prints := range map[int]string{
		2: `^HTTP/1.1 200 OK(?s:.*)\nGET /orders by root with orders:read\n$`,
		3: `^HTTP/1.1 403 Forbidden`,
		4: `^HTTP/1.1 204 No Content`,
		5: `^HTTP/1.1 403 Forbidden`,
	} {
		if !regexp.MustCompile(prints).MatchString(got[i]) {
			t.Errorf("command %d printed %s, want %s", i+1, got[i], prints)
		}
	}
	backend.Close()
	p.do(t, "GET", "/sample/other", bearer.FindString(p.file(t, "env")), "")
	shown := afterBanner(t, p.stop(t))
	if !strings.Contains(shown, `403  GET /sample/other`) {
		t.Errorf("GitLab's rules hold beyond the operator's:\n%s", shown)
	}
}

func TestTryOut(t *testing.T) {
	for _, test := range []struct {
		name, rules string
		want        trial
	}{
		{"a rule for reading", `{"methods":["GET"],"path":"/orders","scopes":["read"]}`, trial{"read", "/sample/orders"}},
		{"a path below", `{"methods":["GET"],"path":"/orders/*","scopes":["read"]}`, trial{"read", "/sample/orders/1"}},
		{"everything", `{"methods":["GET"],"path":"*","scopes":["read"]}`, trial{}},
		{"every path", `{"methods":["GET"],"path":"/*","scopes":["read"]}`, trial{"read", "/sample/1"}},
		{"the scope that may not delete", `{"path":"/x","scopes":["write"]},{"methods":["GET"],"path":"/x","scopes":["write","read"]}`, trial{"read", "/sample/x"}},
		{"no scope that reads only", `{"path":"/x","scopes":["write"]}`, trial{}},
		{"no rules", ``, trial{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "scopes.json")
			write(t, file, `{"scopes":[{"name":"read"},{"name":"write"}],"rules":[`+test.rules+`]}`)
			catalog, err := readScopes(file)
			if err != nil {
				t.Fatal(err)
			}
			if got := tryOut(catalog); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// Without a scope to show there is still something to paste.
func TestBannerWithoutATrial(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	write(t, filepath.Join(dir, "scopes.json"), `{"scopes":[{"name":"all"}],"rules":[{"path":"/*","scopes":["all"]}]}`)
	p := start(t, dir, "SCOPES_FILE=scopes.json")
	if got := p.paste(t, `echo "$LATCHKEY_URL"`); len(got) != 3 || !strings.HasPrefix(got[2], "http://") {
		t.Errorf("its commands print %q", got)
	}
	p.stop(t)
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
