//go:build acceptance

package ssh_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/infra/cloud/child"
	"latchkey/infra/cloud/tabledef"
	"latchkey/infra/local/localtest"
)

const (
	// askpass answers a question for a password with the variable ASKED.
	askpass = "#!/bin/sh\nprintf '%s\\n' \"$ASKED\"\n"
	// ready is how long sshd may take to listen on a busy machine.
	ready = 2 * time.Minute
)

// A server is an sshd with infra/ssh's own samples, in front of a repository of account, and Latchkey.
type server struct {
	*localtest.World
	t       *testing.T
	dir     string
	account string // of this machine, and of Latchkey
	other   string // another one
	program string // sshd, by the name of its PAM service
	port    string
	home    string // of the clients
	asked   atomic.Int32
	// failing answers introspection in Latchkey's place, unless it is nil.
	failing atomic.Pointer[http.HandlerFunc]
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T) *server {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("these tests make accounts and a PAM service, so they need root")
	}
	dir, err := os.MkdirTemp("", "latchkey-ssh") //nolint:usetesting // other accounts cannot enter the test's own
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(dir)) })
	check(t, os.Chmod(dir, 0o755))
	s := &server{World: localtest.Start(t, localtest.Options{}), t: t, dir: dir}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("sshd:\n%s\nhelper:\n%s", s.read("sshd.log"), s.read("helper.log"))
		}
	})
	s.home = filepath.Join(s.dir, "client")
	check(t, os.Mkdir(s.home, 0o700))
	suffix := strings.ToLower(rand.Text()[:8])
	s.account, s.other = s.makeAccount("lk1"+suffix), s.makeAccount("lk2"+suffix)
	s.admin("PUT", "/api/v4/application/settings", `{"require_personal_access_token_expiry":false}`)
	s.sshd("latchkey-"+suffix, s.install())
	return s
}

// makeAccount makes an account of this machine for the time of the test.
func (s *server) makeAccount(name string) string {
	s.t.Helper()
	s.command("useradd", "--no-create-home", "--home-dir", filepath.Join(s.dir, name), "--shell", "/bin/sh", "--user-group", name)
	s.t.Cleanup(func() {
		if out, err := exec.CommandContext(context.Background(), "userdel", "--force", name).CombinedOutput(); err != nil {
			s.t.Errorf("userdel: %v: %s", err, out)
		}
	})
	return name
}

func (s *server) command(name string, args ...string) {
	s.t.Helper()
	if out, err := exec.CommandContext(s.t.Context(), name, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v: %s", name, err, out)
	}
}

// replaced returns a sample of infra/ssh with each pair of texts replaced. It fails for a text that the
// sample does not hold.
func (s *server) replaced(name string, pairs ...string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.module(), "infra", "ssh", name))
	check(s.t, err)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(string(text), pairs[i]) {
			s.t.Fatalf("%s does not hold %q", name, pairs[i])
		}
	}
	return strings.NewReplacer(pairs...).Replace(string(text))
}

func (s *server) module() string {
	s.t.Helper()
	table, err := tabledef.Path()
	check(s.t, err)
	return filepath.Join(filepath.Dir(table), "..")
}

// installed says where things are.
type installed struct{ helper, config string }

// install builds the helper and writes its configuration. Between it and Latchkey stands a proxy that can
// fail.
func (s *server) install() installed {
	s.t.Helper()
	i := installed{filepath.Join(s.dir, "latchkey-ssh"), filepath.Join(s.dir, "ssh.json")}
	build := exec.CommandContext(s.t.Context(), "go", "build", "-o", i.helper, "./infra/ssh")
	build.Dir, build.Env = s.module(), append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		s.t.Fatalf("go build: %v: %s", err, out)
	}
	to, err := url.Parse(s.URL)
	check(s.t, err)
	product := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if failing := s.failing.Load(); failing != nil {
			(*failing)(w, r)
			return
		}
		product.ServeHTTP(w, r)
	}))
	s.t.Cleanup(proxy.Close)
	s.write("introspect.token", s.token(1, "introspect", "")+"\n", 0o600)
	config, err := json.Marshal(map[string]any{
		"url": proxy.URL, "token_file": filepath.Join(s.dir, "introspect.token"), "sessions": filepath.Join(s.dir, "sessions"),
		"time_limit_seconds": 10,
	})
	check(s.t, err)
	s.write("ssh.json", string(config), 0o644)
	return i
}

func (s *server) write(name, text string, mode os.FileMode) string {
	s.t.Helper()
	path := filepath.Join(s.dir, name)
	check(s.t, os.WriteFile(path, []byte(text), mode))
	return path
}

// sshd starts an sshd whose PAM service has the name, because Debian's takes it from the program's name.
func (s *server) sshd(name string, i installed) {
	s.t.Helper()
	service := filepath.Join("/etc/pam.d", name)
	check(s.t, os.WriteFile(service, []byte(s.replaced("pam",
		"quiet /usr/local/sbin/latchkey-ssh", "quiet log="+filepath.Join(s.dir, "helper.log")+" "+i.helper, "/etc/latchkey/ssh.json", i.config)), 0o644))
	s.t.Cleanup(func() { check(s.t, os.Remove(service)) })
	program := filepath.Join(s.dir, name)
	check(s.t, os.Symlink("/usr/sbin/sshd", program))
	key := filepath.Join(s.dir, "host_key")
	s.command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	check(s.t, os.MkdirAll("/run/sshd", 0o755))
	s.write("sshd_config", s.replaced("sshd_config",
		"Port 2222\n", "", "ListenAddress 0.0.0.0", "ListenAddress 127.0.0.1", "/etc/ssh/ssh_host_ed25519_key", key,
		"/run/latchkey-sshd.pid", filepath.Join(s.dir, "sshd.pid"), "AllowGroups latchkey-git", "AllowGroups "+s.account+" "+s.other,
		"/usr/local/sbin/latchkey-ssh", i.helper, "/etc/latchkey/ssh.json", i.config), 0o600)
	public, err := os.ReadFile(key + ".pub")
	check(s.t, err)
	s.write("known_hosts", "latchkey "+string(public), 0o600)
	s.program = program
	s.port = s.listen()
}

// listen starts an sshd whose configuration the options change, and returns its port.
func (s *server) listen(options ...string) string {
	s.t.Helper()
	free, err := new(net.ListenConfig).Listen(s.t.Context(), "tcp", "127.0.0.1:0")
	check(s.t, err)
	_, port, err := net.SplitHostPort(free.Addr().String())
	check(s.t, errors.Join(err, free.Close()))
	options = append([]string{"-f", filepath.Join(s.dir, "sshd_config"), "-p", port}, options...)
	s.command(s.program, append([]string{"-t"}, options...)...)
	daemon, err := child.Start("", nil, s.program, append([]string{"-D", "-E", filepath.Join(s.dir, "sshd.log")}, options...)...)
	check(s.t, err)
	s.t.Cleanup(daemon.Stop)
	for waited := time.Duration(0); ; waited += 50 * time.Millisecond {
		conn, err := new(net.Dialer).DialContext(s.t.Context(), "tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = conn.Close()
			return port
		}
		if waited > ready {
			s.t.Fatalf("sshd does not listen: %s", s.read("sshd.log"))
		}
		time.Sleep(50 * time.Millisecond) // sleep: another program starts, and tells nobody when it listens
	}
}

func (s *server) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(s.dir, name))
	return string(text)
}

// said runs something, and returns what the helper logged meanwhile and how often it asked.
func (s *server) said(run func()) (log string, asked int) {
	s.t.Helper()
	before, count := len(s.read("helper.log")), s.asked.Load()
	run()
	for line := range strings.Lines(s.read("helper.log")[before:]) {
		if !strings.HasPrefix(line, "*** ") { // pam_exec's own
			log += line
		}
	}
	return log, int(s.asked.Load() - count)
}

// client returns the environment of a client whose password is given.
func (s *server) client(password string, options ...string) []string {
	s.t.Helper()
	script := filepath.Join(s.dir, "askpass")
	if _, err := os.Stat(script); err != nil {
		check(s.t, os.WriteFile(script, []byte(askpass), 0o700))
	}
	ssh := append([]string{"ssh", "-F", "none", "-o", "HostKeyAlias=latchkey", "-o", "UserKnownHostsFile=" + filepath.Join(s.dir, "known_hosts"),
		"-o", "StrictHostKeyChecking=yes", "-o", "NumberOfPasswordPrompts=1"}, append(options, "-p", s.port)...)
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.home, "SSH_ASKPASS=" + script, "SSH_ASKPASS_REQUIRE=force", "ASKED=" + password,
		"GIT_SSH_COMMAND=" + strings.Join(ssh, " "), "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.test", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.test",
	}
}

// git runs a command of Git in a directory of its own and returns what it wrote.
func (s *server) git(password string, args ...string) (string, error) {
	s.t.Helper()
	command := exec.CommandContext(s.t.Context(), "git", args...)
	command.Dir, command.Env = s.home, s.client(password)
	out, err := command.CombinedOutput()
	return string(out), err
}

// ssh runs ssh with options and a command.
func (s *server) ssh(password, account string, options []string, command ...string) (string, error) {
	s.t.Helper()
	env := s.client(password, options...)
	words := []string{}
	for _, variable := range env {
		if line, found := strings.CutPrefix(variable, "GIT_SSH_COMMAND="); found {
			words = append(strings.Fields(line), account+"@127.0.0.1")
		}
	}
	words = append(words, command...)
	client := exec.CommandContext(s.t.Context(), words[0], words[1:]...)
	client.Env, client.Stdin = env, bytes.NewReader(nil)
	out, err := client.CombinedOutput()
	return string(out), err
}

// repository makes a repository of the account with one commit and returns its address.
func (s *server) repository(account string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, account+".git")
	s.command("git", "init", "--quiet", "--bare", "--initial-branch=main", path)
	s.command("chown", "-R", account+":", path)
	return "ssh://" + account + "@127.0.0.1" + path
}

// admin makes a request as the administrator and returns the reply's fields.
func (s *server) admin(method, path, body string) map[string]any {
	s.t.Helper()
	reply := s.Do(s.t, localtest.AdminBearer, method, path, body)
	if reply.Status >= 300 {
		s.t.Fatalf("%s %s: %d %s", method, path, reply.Status, reply.Body)
	}
	fields := map[string]any{}
	_ = json.Unmarshal([]byte(reply.Body), &fields) // some replies are no object
	return fields
}

// person makes an account of Latchkey and returns its id.
func (s *server) person(username string) int {
	s.t.Helper()
	made := s.admin("POST", "/api/v4/users", fmt.Sprintf(`{"username":%q,"name":"A Person","email":"%s@example.test","force_random_password":true}`, username, username))
	return int(made["id"].(float64))
}

// token makes a token and returns its bearer.
func (s *server) token(owner int, scopes, expires string) string {
	s.t.Helper()
	made := s.issue(owner, scopes, expires)
	return made["token"].(string)
}

func (s *server) issue(owner int, scopes, expires string) map[string]any {
	s.t.Helper()
	list, err := json.Marshal(strings.Fields(scopes))
	check(s.t, err)
	day := ""
	if expires != "" {
		day = `,"expires_at":"` + expires + `"`
	}
	return s.admin("POST", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", owner), fmt.Sprintf(`{"name":"n","scopes":%s%s}`, list, day))
}
