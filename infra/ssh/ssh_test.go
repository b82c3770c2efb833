package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	ownBearer  = "lkpat_introspecting-caller"
	goodBearer = "lkpat_good-bearer-of-avery"
	connection = "192.0.2.7 50000 192.0.2.1 22"
)

// A world is a configuration, and an introspection endpoint that says what answer returns.
type world struct {
	t      *testing.T
	dir    string
	config map[string]any
	asked  atomic.Int32
	answer func(w http.ResponseWriter, r *http.Request)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	w.answers(`{"active":true,"scope":"read_user read_repository","username":"avery","sub":"5","exp":4102444800,"more":{}}`)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		w.answer(rw, r)
	}))
	t.Cleanup(server.Close)
	w.file("own", ownBearer+"\n", 0o600)
	w.config = map[string]any{
		"url": server.URL + "/base/", "token_file": filepath.Join(w.dir, "own"), "sessions": filepath.Join(w.dir, "sessions"),
		"accounts": map[string][]string{"git": {"avery", "blake"}}, "time_limit_seconds": 60,
	}
	return w
}

func (w *world) file(name, text string, mode os.FileMode) string {
	path := filepath.Join(w.dir, name)
	check(w.t, os.WriteFile(path, []byte(text), mode))
	check(w.t, os.Chmod(path, mode))
	return path
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) answers(body string) {
	w.answer = func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, body) }
}

// run runs one stage and returns the exit code and what was logged.
func (w *world) run(mode, stage, account, password string) (int, string) {
	text, err := json.Marshal(w.config)
	check(w.t, err)
	return w.runWith(w.file("ssh.json", string(text), 0o644), mode, stage, account, strings.NewReader(password))
}

func (w *world) runWith(config, mode, stage, account string, input io.Reader) (int, string) {
	env := map[string]string{"PAM_TYPE": stage, "PAM_USER": account, "PAM_RHOST": "192.0.2.7", "SSH_CONNECTION": connection}
	var log bytes.Buffer
	code := run([]string{mode, config}, func(name string) string { return env[name] }, input, &log)
	for _, secret := range []string{ownBearer, goodBearer} {
		if strings.Contains(log.String(), secret) {
			w.t.Errorf("a bearer is logged: %s", log.String())
		}
	}
	return code, log.String()
}

// Breaks if other people on the machine can read who logs in from where, or the account cannot.
func TestSessionIsForTheAccountsGroup(t *testing.T) {
	caller, err := user.Current()
	check(t, err)
	for account, group := range map[string]string{caller.Username: caller.Gid, "nobody": "", "no-such-account": caller.Gid} {
		if account == "nobody" {
			known, err := user.Lookup(account)
			if err != nil || caller.Uid != "0" { // only root gives files to other groups
				continue
			}
			group = known.Gid
		}
		w := newWorld(t)
		w.config["accounts"] = map[string][]string{account: {"avery"}}
		w.answers(`{"active":true,"scope":"write_repository","username":"avery"}`)
		if code, log := w.run("pam", "auth", account, goodBearer); code != 0 {
			t.Fatalf("%d, %s", code, log)
		}
		files, err := filepath.Glob(filepath.Join(w.config["sessions"].(string), "*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("sessions: %v, %v", files, err)
		}
		info, err := os.Stat(files[0])
		check(t, err)
		if got := strconv.Itoa(int(info.Sys().(*syscall.Stat_t).Gid)); info.Mode().Perm() != 0o640 || got != group {
			t.Errorf("%s: %v of group %s, want %s", account, info.Mode(), got, group)
		}
	}
}

func TestTokenOfTheOwnerLogsIn(t *testing.T) {
	w := newWorld(t)
	w.answer = func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" || r.URL.Path != "/base/oauth/introspect" || r.URL.RawQuery != "" || r.Header.Get("Authorization") != "Bearer "+ownBearer ||
			r.FormValue("token") != goodBearer || r.FormValue("client_address") != "192.0.2.7" || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
			t.Errorf("asked by %s %s, %v", r.Method, r.URL, r.Header)
		}
		_, _ = io.WriteString(rw, `{"active":true,"scope":"write_repository","username":"avery"}`)
	}
	if code, log := w.run("pam", "account", "git", ""); code != 1 || !strings.Contains(log, "not logged in with a token") {
		t.Errorf("account without auth: %d, %s", code, log)
	}
	if code, log := w.run("pam", "auth", "git", goodBearer+"\x00behind"); code != 0 || log != "" {
		t.Fatalf("auth: %d, %s", code, log)
	}
	if code, log := w.run("pam", "account", "git", ""); code != 0 {
		t.Errorf("account: %d, %s", code, log)
	}
	if code, _ := w.run("pam", "account", "other", ""); code != 1 {
		t.Errorf("another account passes with %d", code)
	}
	// A failed attempt ends what an earlier one left.
	w.answers(`{"active":false}`)
	if code, _ := w.run("pam", "auth", "git", goodBearer+"\x00"); code != 1 {
		t.Error("an inactive token logs in")
	}
	if code, _ := w.run("pam", "account", "git", ""); code != 1 {
		t.Error("the account stage passes after a refused token")
	}
	entries, err := os.ReadDir(w.config["sessions"].(string))
	if err != nil || len(entries) != 0 {
		t.Errorf("sessions are left: %v, %v", entries, err)
	}
}

func TestTheSessionFileHoldsNoBearer(t *testing.T) {
	w := newWorld(t)
	if code, log := w.run("pam", "auth", "git", goodBearer); code != 0 {
		t.Fatal(code, log)
	}
	entries, err := os.ReadDir(w.config["sessions"].(string))
	check(t, err)
	text, err := os.ReadFile(filepath.Join(w.config["sessions"].(string), entries[0].Name()))
	check(t, err)
	if len(entries) != 1 || strings.Contains(string(text), "lkpat_") || !strings.Contains(string(text), "read_repository") {
		t.Errorf("%d sessions, %s", len(entries), text)
	}
}

func TestRefusals(t *testing.T) {
	long := strings.Repeat("x", 256)
	for name, c := range map[string]struct {
		account, password, answer string
		code, asked               int
		log                       string
	}{
		"inactive":                          {"git", goodBearer, `{"active":false}`, 1, 1, "not an active token"},
		"active is missing":                 {"git", goodBearer, `{"scope":"api","username":"avery"}`, 1, 1, "not an active token"},
		"active is a text":                  {"git", goodBearer, `{"active":"true","scope":"api","username":"avery"}`, 2, 1, "RFC 7662"},
		"expired by its own time":           {"git", goodBearer, `{"active":true,"scope":"api","username":"avery","exp":1}`, 1, 1, "expired"},
		"foreign owner":                     {"git", goodBearer, `{"active":true,"scope":"api","username":"casey"}`, 1, 1, "not the one of the token's owner"},
		"owner in another spelling":         {"git", goodBearer, `{"active":true,"scope":"api","username":"Avery"}`, 1, 1, "not the one"},
		"no owner":                          {"git", goodBearer, `{"active":true,"scope":"api"}`, 1, 1, "not the one"},
		"root is no mapping":                {"root", goodBearer, `{"active":true,"scope":"api","username":"root"}`, 1, 1, "not the one"},
		"an account that is not here":       {"nobody-here", goodBearer, `{"active":true,"scope":"api","username":"nobody-here"}`, 1, 1, "not the one"},
		"scopes that open no code":          {"git", goodBearer, `{"active":true,"scope":"read_user read_repository_x","username":"avery"}`, 1, 1, "no scope of the token opens Git"},
		"no scopes":                         {"git", goodBearer, `{"active":true,"username":"avery"}`, 1, 1, "no scope"},
		"no JSON":                           {"git", goodBearer, `<html>`, 2, 1, "RFC 7662"},
		"null":                              {"git", goodBearer, `null`, 1, 1, "not an active token"},
		"an answer that is too long":        {"git", goodBearer, `{"active":true,"scope":"api","username":"avery","x":"` + strings.Repeat("x", 64<<10) + `"}`, 2, 1, "too long"},
		"a password that is no bearer":      {"git", "correct horse battery", `{"active":true,"scope":"api","username":"avery"}`, 1, 0, "form of a token"},
		"a short password":                  {"git", "secret", `{"active":true,"scope":"api","username":"avery"}`, 1, 0, "form of a token"},
		"a password that is too long":       {"git", long, `{"active":true,"scope":"api","username":"avery"}`, 1, 0, "form of a token"},
		"no password":                       {"git", "", `{"active":true,"scope":"api","username":"avery"}`, 1, 0, ""},
		"the decoy of OpenSSH":              {"git", "\b\n\r\177INCORRECT", `{"active":true,"scope":"api","username":"avery"}`, 1, 0, ""},
		"the decoy for a short password":    {"git", "\b\n\r", `{"active":true,"scope":"api","username":"avery"}`, 1, 0, ""},
		"the decoy for a token":             {"git", strings.Repeat("\b\n\r\177INCORRECT", 4)[:45], `{"active":true,"scope":"api","username":"avery"}`, 1, 0, ""},
		"the decoy and NUL":                 {"git", "\b\n\r\177INCORRECT\b\n\x00", `{"active":true,"scope":"api","username":"avery"}`, 1, 0, ""},
		"a byte off the decoy is told":      {"git", "\b\n\r\177INCORRECt", `{"active":true,"scope":"api","username":"avery"}`, 1, 0, "form of a token"},
		"a name that is made to forge logs": {"git\nlatchkey-ssh: fine", goodBearer, `{"active":false}`, 1, 1, `account "git\nlatchkey-ssh: fine"`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.answers(c.answer)
			code, log := w.run("pam", "auth", c.account, c.password)
			if code != c.code || int(w.asked.Load()) != c.asked || !strings.Contains(log, c.log) || c.log == "" && log != "" {
				t.Errorf("code %d, asked %d times, log %q; want %d, %d, %q", code, w.asked.Load(), log, c.code, c.asked, c.log)
			}
			if code, _ := w.run("pam", "account", c.account, ""); code == 0 {
				t.Error("the account stage passes")
			}
		})
	}
}

// Breaks if a refused or unreachable introspection lets somebody in, or if a bearer is sent on by a redirect.
func TestWhatIntrospectionMayAnswer(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect is followed") }))
	defer elsewhere.Close()
	good := `{"active":true,"scope":"api","username":"avery"}`
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		log    string
	}{
		"500": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); _, _ = io.WriteString(w, good) }, "answered 500"},
		"401": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401); _, _ = io.WriteString(w, good) }, "lacks the scope introspect"},
		"403": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403); _, _ = io.WriteString(w, good) }, "lacks the scope introspect"},
		"429": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, "answered 429"},
		"201": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); _, _ = io.WriteString(w, good) }, "answered 201"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "answered 307"},
		"a cut answer": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "999")
			_, _ = io.WriteString(w, good)
		}, "cut or too long"},
		"no answer": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.answer = c.answer
			if code, log := w.run("pam", "auth", "git", goodBearer); code != 2 || !strings.Contains(log, c.log) {
				t.Errorf("code %d, log %q", code, log)
			}
		})
	}
}

func TestTheHelperGivesUpByItself(t *testing.T) {
	w := newWorld(t)
	w.config["time_limit_seconds"] = 1
	w.answer = func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm() // the server notices only then that the helper hangs up
		<-r.Context().Done()
	}
	if code, log := w.run("pam", "auth", "git", goodBearer); code != 2 || !strings.Contains(log, "no answer from introspection within the time limit") {
		t.Errorf("a hanging introspection: %d, %s", code, log)
	}
	read, write := io.Pipe()
	defer func() { _ = write.Close() }()
	if code, log := w.runWith(filepath.Join(w.dir, "ssh.json"), "pam", "auth", "git", read); code != 2 || !strings.Contains(log, "no password within the time limit") {
		t.Errorf("a hanging standard input: %d, %s", code, log)
	}
}

func TestFaultsOfTheConfigurationRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world)
		log    string
	}{
		"plain http to elsewhere":               {func(w *world) { w.config["url"] = "http://tokens.example.com" }, "url is not the https address"},
		"plain http to a name":                  {func(w *world) { w.config["url"] = "http://localhost:1" }, "url is not the https address"},
		"a URL with a password":                 {func(w *world) { w.config["url"] = "https://a:b@tokens.example.com" }, "url is not"},
		"no URL":                                {func(w *world) { delete(w.config, "url") }, "line 1, column 1: url is not"},
		"an unknown key":                        {func(w *world) { w.config["acounts"] = 1 }, `key "acounts" is unknown`},
		"a token file of the working directory": {func(w *world) { w.config["token_file"] = "own" }, "token_file is not an absolute path"},
		"sessions of the working directory":     {func(w *world) { w.config["sessions"] = "sessions" }, "sessions is not an absolute path"},
		"sessions without an end":               {func(w *world) { w.config["session_seconds"] = 3601 }, "session_seconds is outside 1 to 3600"},
		"sessions without a start":              {func(w *world) { w.config["session_seconds"] = 0 }, "session_seconds is outside 1 to 3600"},
		"a URL with a query":                    {func(w *world) { w.config["url"] = "https://tokens.example.com?a=b" }, "url is not"},
		"a URL with a fragment":                 {func(w *world) { w.config["url"] = "https://tokens.example.com#" }, "url is not"},
		"another protocol on this machine":      {func(w *world) { w.config["url"] = "ftp://127.0.0.1" }, "url is not"},
		"a token file that is a directory":      {func(w *world) { w.config["token_file"] = w.dir }, "not a regular file"},
		"no time limit":                         {func(w *world) { w.config["time_limit_seconds"] = 0 }, "time_limit_seconds is outside 1 to 60"},
		"a token file that others read":         {func(w *world) { check(w.t, os.Chmod(w.config["token_file"].(string), 0o640)) }, "has the permissions 0640; remove 0040"},
		"a token file that is a link":           {func(w *world) { w.config["token_file"] = w.link("own") }, "link: too many levels"},
		"a token file that holds none":          {func(w *world) { w.file("own", "x\n", 0o600) }, "does not hold a token"},
		"no token file":                         {func(w *world) { w.config["token_file"] = "/nowhere" }, "no such file"},
		"a directory that others write to":      {func(w *world) { w.sessions(0o777) }, "only the caller may write to"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.change(w)
			if code, log := w.run("pam", "auth", "git", goodBearer); code != 3 || !strings.Contains(log, c.log) || w.asked.Load() != 0 {
				t.Errorf("code %d, asked %d times, log %q", code, w.asked.Load(), log)
			}
		})
	}
	w := newWorld(t)
	_, _ = w.run("pam", "auth", "git", "")
	path := filepath.Join(w.dir, "ssh.json")
	check(t, os.Chmod(path, 0o664))
	if code, log := w.runWith(path, "pam", "auth", "git", strings.NewReader(goodBearer)); code != 3 || !strings.Contains(log, "remove 0020") {
		t.Errorf("a configuration that others may write: %d, %s", code, log)
	}
	if code, log := w.run("pam", "open_session", "git", ""); code != 3 || !strings.Contains(log, "none of auth and account") {
		t.Errorf("another stage: %d, %s", code, log)
	}
}

func (w *world) link(name string) string {
	path := filepath.Join(w.dir, "link")
	check(w.t, os.Symlink(filepath.Join(w.dir, name), path))
	return path
}

func (w *world) sessions(mode os.FileMode) {
	path := w.config["sessions"].(string)
	check(w.t, os.Mkdir(path, mode))
	check(w.t, os.Chmod(path, mode))
}

// Breaks if a token that may only read can push, if a session does more than Git, or if a connection that is
// kept open goes on after its token has ended.
func TestShellRunsWhatTheTokenPermits(t *testing.T) {
	me, err := user.Current()
	check(t, err)
	for name, c := range map[string]struct {
		scopes, command, want string
		after                 time.Duration
		exp                   int64
	}{
		"pull with a reading scope":     {"read_repository", "git-upload-pack '/srv/git/a.git'", "", 0, 0},
		"archive with a reading scope":  {"read_api", "git-upload-archive '/srv/git/a.git'", "", 0, 0},
		"push with a reading scope":     {"read_repository read_api", "git-receive-pack '/srv/git/a.git'", "do not permit git receive-pack", 0, 0},
		"push in another spelling":      {"read_repository", "git receive-pack 'a.git'", "do not permit git receive-pack", 0, 0},
		"push with a writing scope":     {"write_repository", "git-receive-pack '/srv/git/a.git'", "", 0, 0},
		"pull with a writing scope":     {"api", "git-upload-pack 'a.git'", "", 0, 0},
		"scopes that open no code":      {"read_user", "git-upload-pack 'a.git'", "do not permit git upload-pack", 0, 0},
		"no command":                    {"api", "", "only Git is served", 0, 0},
		"a shell":                       {"api", "sh", "only Git is served", 0, 0},
		"a command behind":              {"api", "git-upload-pack 'a.git'; sh", "only Git is served", 0, 0},
		"a command on the next line":    {"api", "git-upload-pack 'a.git'\nsh", "only Git is served", 0, 0},
		"a quote inside":                {"api", `git-upload-pack 'a'\''b.git'`, "only Git is served", 0, 0},
		"two arguments":                 {"api", "git-upload-pack '--x' 'a.git'", "only Git is served", 0, 0},
		"sftp":                          {"api", "internal-sftp", "only Git is served", 0, 0},
		"a login that is too long ago":  {"api", "git-upload-pack 'a.git'", "too long ago", time.Minute + time.Second, 0},
		"a login just recent enough":    {"api", "git-upload-pack 'a.git'", "", 30 * time.Second, 0},
		"a login that is yet to come":   {"api", "git-upload-pack 'a.git'", "too long ago", -time.Minute, 0},
		"a token that has expired":      {"api", "git-upload-pack 'a.git'", "expired", 0, 1},
		"a login of another connection": {"", "git-upload-pack 'a.git'", "not logged in with a token", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			cfg := config{Sessions: filepath.Join(w.dir, "sessions"), SessionSeconds: 60, PullScopes: []string{"read_repository", "read_api"}, PushScopes: []string{"write_repository", "api"}}
			login := login{account: me.Username, connection: connection}
			check(t, login.forget(cfg))
			if c.scopes == "" {
				login.connection = "192.0.2.7 50001 192.0.2.1 22"
			}
			text, err := json.Marshal(session{Account: login.account, Connection: login.connection, Scopes: strings.Fields(c.scopes), At: now().Add(-c.after), Exp: c.exp})
			check(t, err)
			check(t, create(login.path(cfg), text, os.Getgid()))
			env := map[string]string{"SSH_CONNECTION": connection, "SSH_ORIGINAL_COMMAND": c.command}
			program, args, err := shell(cfg, func(name string) string { return env[name] })
			if c.want != "" {
				if !errors.Is(err, errRefused) || !strings.Contains(err.Error(), c.want) || program != "" {
					t.Errorf("%q, %v", program, err)
				}
				return
			}
			if err != nil || filepath.Base(program) != "git-shell" || fmt.Sprint(args) != "[git-shell -c "+c.command+"]" {
				t.Errorf("%q, %q, %v", program, args, err)
			}
		})
	}
}

// Breaks if somebody logs in as somebody else: without a mapping, an account of a person is for the owner of the same
// name alone, and one of the system for nobody.
func TestWhoOwnsAnAccount(t *testing.T) {
	const person = "nobody" // has an id above those of the system
	if known, err := user.Lookup(person); err != nil || len(known.Uid) < len("1000") {
		t.Fatalf("this test needs the account %s: %v", person, err)
	}
	mapped := config{Accounts: map[string][]string{"git": {"avery"}, "closed": {}, person: {"blake"}}}
	for _, test := range []struct {
		name              string
		cfg               config
		username, account string
		want              bool
	}{
		{"the owner of the same name", config{}, person, person, true},
		{"another owner", config{}, "avery", person, false},
		{"no owner", config{}, "", person, false},
		{"an owner called like an account of the system", config{}, "daemon", "daemon", false},
		{"root", config{}, "root", "root", false},
		{"an account that is not here", config{}, "no-such-account", "no-such-account", false},
		{"a listed owner", mapped, "avery", "git", true},
		{"an owner who is not listed", mapped, "blake", "git", false},
		{"no owner of a listed account", mapped, "", "git", false},
		{"no owner, and an empty name in the list", config{Accounts: map[string][]string{"git": {""}}}, "", "git", false},
		{"an account that is listed for nobody", mapped, "closed", "closed", false},
		{"the owner of the same name, who is not listed", mapped, person, person, false},
	} {
		if got := test.cfg.owns(test.username, test.account); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}

// Breaks if a session counts that the helper did not write for this very login.
func TestOnlyTheSessionOfThisLoginCounts(t *testing.T) {
	mine := login{account: "git", connection: connection}
	good := session{Account: mine.account, Connection: mine.connection, Scopes: []string{"api"}, At: now()}
	for name, c := range map[string]struct {
		change func(s *session)
		mode   os.FileMode
		text   string // instead of the session
		want   string // "" if it counts
	}{
		"the one that was written": {func(*session) {}, 0o640, "", ""},
		"another account's":        {func(s *session) { s.Account = "root" }, 0o640, "", "is broken"},
		"another connection's":     {func(s *session) { s.Connection += "2" }, 0o640, "", "is broken"},
		"half of one":              {func(*session) {}, 0o640, `{"account":"git",`, "is broken"},
		"an empty one":             {func(*session) {}, 0o640, "\n", "is broken"},
		"one that others write to": {func(*session) {}, 0o660, "", "has the permissions 0660; remove 0020"},
		"one that is too long":     {func(*session) {}, 0o640, strings.Repeat(" ", maxSession+1), "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config{Sessions: t.TempDir(), SessionSeconds: 60}
			s := good
			c.change(&s)
			text, err := json.Marshal(s)
			check(t, err)
			if c.text != "" {
				text = []byte(c.text)
			}
			check(t, os.WriteFile(mine.path(cfg), text, c.mode))
			check(t, os.Chmod(mine.path(cfg), c.mode))
			got, err := mine.read(cfg)
			if c.want == "" {
				if err != nil || got.Account != "git" {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if !errors.Is(err, errConfig) || !strings.Contains(err.Error(), c.want) || len(got.Scopes) > 0 {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// Breaks if the files of sessions pile up, or if one goes that its connection may still need: session_seconds is an
// hour at most.
func TestOldSessionsAreRemoved(t *testing.T) {
	w := newWorld(t)
	w.sessions(0o755)
	old, young := w.file("sessions/old", "{}", 0o640), w.file("sessions/young", "{}", 0o640)
	check(t, os.Chtimes(old, now(), now().Add(-oldSession-time.Minute)))
	check(t, os.Chtimes(young, now(), now().Add(-time.Hour-time.Minute)))
	if code, log := w.run("pam", "auth", "git", goodBearer); code != 0 {
		t.Fatal(code, log)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old one: %v", err)
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("the young one: %v", err)
	}
	if code, log := w.run("pam", "account", "git", ""); code != 0 {
		t.Errorf("the new one: %d, %s", code, log)
	}
}

func FuzzPassword(f *testing.F) {
	for _, text := range []string{"", "\x00", "\b\n\r\177INCORRECT\x00", goodBearer + "\x00", goodBearer, strings.Repeat("a", 300), goodBearer + "\x00" + goodBearer} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := readPassword(t.Context(), bytes.NewReader(text))
		before, _, _ := bytes.Cut(text, []byte{0})
		if err == nil && (got != string(before) || len(got) < minBearer || len(got) > maxBearer || strings.ContainsAny(got, " \n\x00")) {
			t.Errorf("%q of %q", got, text)
		}
		if err != nil && got != "" {
			t.Errorf("%q with %v", got, err)
		}
	})
}
