//go:build acceptance

package ssh_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A promise: a token works as the password of git over SSH, as far as its scopes permit, until it ends.
func TestGitOverSSHWithATokenAsPassword(t *testing.T) {
	s := start(t)
	owner, stranger := s.person(s.account), s.person(s.other)
	repository := s.repository(s.account)
	writing, reading := s.token(owner, "write_repository", ""), s.token(owner, "read_repository", "")

	work := filepath.Join(s.home, "work")
	for _, step := range [][]string{
		{"clone", "--quiet", repository, "work"},
		{"-C", "work", "commit", "--quiet", "--allow-empty", "--message", "first"},
		{"-C", "work", "push", "--quiet", "origin", "HEAD:main"},
	} {
		if out, err := s.git(writing, step...); err != nil {
			t.Fatalf("git %s: %v\n%s", strings.Join(step, " "), err, out)
		}
	}
	if out, err := s.git(reading, "clone", "--quiet", repository, "read"); err != nil {
		t.Fatalf("clone with a reading scope: %v\n%s", err, out)
	}
	if out, err := s.git("", "-C", "read", "log", "--format=%s"); err != nil || out != "first\n" {
		t.Fatalf("the clone holds %q, %v", out, err)
	}
	_, err := s.git("", "-C", work, "commit", "--quiet", "--allow-empty", "--message", "second")
	check(t, err)
	if out, err := s.git(reading, "-C", work, "push", "origin", "HEAD:main"); err == nil || !strings.Contains(out, "do not permit git receive-pack") {
		t.Errorf("push with a reading scope: %v\n%s", err, out)
	}

	t.Run("refused", func(t *testing.T) {
		revoked := s.issue(owner, "api", "")
		s.admin("DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%.0f", revoked["id"]), "")
		expiring := s.token(owner, "api", s.Clock.Now().AddDate(0, 0, 1).Format("2006-01-02"))
		blocked := s.token(stranger, "api", "")
		// Not by SSH: Latchkey's clock stands still in March 2026, and the helper's is the machine's.
		if reply := s.Do(t, expiring, "GET", "/api/v4/personal_access_tokens/self", ""); reply.Status != http.StatusOK {
			t.Fatalf("a token that will expire: %d %s", reply.Status, reply.Body)
		}
		s.Clock.Set(s.Clock.Now().AddDate(0, 0, 2))
		s.admin("POST", fmt.Sprintf("/api/v4/users/%d/block", stranger), "")
		foreign := s.token(s.person("casey"), "api", "")
		theirs := s.repository(s.other)
		for name, c := range map[string]struct{ repository, password, log string }{
			"a wrong token":                {repository, flipped(writing), "not an active token"},
			"an expired token":             {repository, expiring, "not an active token"},
			"a revoked token":              {repository, revoked["token"].(string), "not an active token"},
			"a foreign token":              {repository, foreign, "not the one of the token's owner"},
			"a token of a blocked owner":   {theirs, blocked, "not an active token"},
			"a token without a Git scope":  {repository, s.token(owner, "read_user", ""), "no scope of the token opens Git"},
			"the caller's own token":       {repository, strings.TrimSpace(s.read("introspect.token")), "not the one of the token's owner"},
			"a password that is no bearer": {repository, "correct horse", "not the form of a token"},
		} {
			var out string
			var err error
			log, _ := s.said(func() { out, err = s.git(c.password, "ls-remote", c.repository) })
			if err == nil || !strings.Contains(out, "Permission denied (password)") || !strings.Contains(log, c.log) || strings.Contains(log, c.password) {
				t.Errorf("%s: %v\n%s\nthe helper says %q", name, err, out, log)
			}
		}
		if out, err := s.git(reading, "ls-remote", repository); err != nil {
			t.Errorf("afterwards, a good token: %v\n%s", err, out)
		}
	})

	// Breaks if an account's password on this machine, a key, or another way in gets around the token.
	t.Run("no other way in", func(t *testing.T) {
		local := strings.Repeat("local-password", 2)
		change := exec.CommandContext(t.Context(), "chpasswd")
		change.Stdin = strings.NewReader(s.account + ":" + local + "\n")
		if out, err := change.CombinedOutput(); err != nil {
			t.Fatalf("chpasswd: %v: %s", err, out)
		}
		if out, err := s.git(local, "ls-remote", repository); err == nil || !strings.Contains(out, "Permission denied (password)") {
			t.Errorf("the local password: %v\n%s", err, out)
		}
		key := filepath.Join(s.dir, "key")
		s.command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
		public, err := os.ReadFile(key + ".pub")
		check(t, err)
		home := filepath.Join(s.dir, s.account, ".ssh")
		check(t, os.MkdirAll(home, 0o700))
		check(t, os.WriteFile(filepath.Join(home, "authorized_keys"), public, 0o600))
		s.command("chown", "-R", s.account+":", filepath.Dir(home))
		upload := "git-upload-pack '" + strings.SplitN(repository, "127.0.0.1", 2)[1] + "'"
		for name, options := range map[string][]string{
			"a key":                {"-o", "PreferredAuthentications=publickey", "-i", key},
			"keyboard-interactive": {"-o", "PreferredAuthentications=keyboard-interactive"},
		} {
			var out string
			log, asked := s.said(func() { out, err = s.ssh(reading, s.account, options, upload) })
			if err == nil || !strings.Contains(out, "Permission denied (password)") || log != "" || asked != 0 {
				t.Errorf("%s: %v\n%s\n%q, asked %d times", name, err, out, log, asked)
			}
		}
		// And where an operator lets keys in all the same, the stage account does not.
		keys := s.listen("-o", "PubkeyAuthentication=yes", "-o", "AuthenticationMethods=publickey")
		var out string
		log, asked := s.said(func() { out, err = s.ssh(reading, s.account, []string{"-i", key, "-p", keys}, upload) })
		if err == nil || !strings.Contains(log, "stage account") || !strings.Contains(log, "this connection has not logged in with a token") || asked != 0 {
			t.Errorf("a key: %v\n%s\n%q, asked %d times", err, out, log, asked)
		}
		for name, command := range map[string][]string{"a shell": {}, "a command": {"id"}, "more than Git": {upload + "; id"}} {
			if out, err := s.ssh(writing, s.account, nil, command...); err == nil || !strings.Contains(out, "only Git is served here") || strings.Contains(out, "uid=") {
				t.Errorf("%s: %v\n%s", name, err, out)
			}
		}
		if out, err := s.ssh(writing, s.account, []string{"-W", "127.0.0.1:" + s.port}); err == nil || strings.Contains(out, "SSH-2.0") {
			t.Errorf("forwarding: %v\n%s", err, out)
		}
	})

	// sshd gives PAM a decoy in place of such a password. Asking about it would tell who exists, by the time
	// that it takes, and the name may be a password that was typed too early.
	t.Run("decoys are neither asked about nor logged", func(t *testing.T) {
		for _, account := range []string{"nobody-has-this-name", "root"} {
			var out string
			var err error
			log, asked := s.said(func() { out, err = s.ssh(writing, account, nil, "id") })
			if err == nil || !strings.Contains(out, "Permission denied (password)") || log != "" || asked != 0 {
				t.Errorf("%s: %v\n%s\n%q, asked %d times", account, err, out, log, asked)
			}
		}
	})

	t.Run("introspection fails", func(t *testing.T) {
		hanging := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			<-r.Context().Done()
		})
		down := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		for name, c := range map[string]struct {
			answer http.HandlerFunc
			log    string
		}{
			"it is down":  {down, "undecided: introspection cannot be reached"},
			"it hangs":    {hanging, "undecided: no answer from introspection within the time limit"},
			"it is wrong": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "undecided: introspection answered 502"},
		} {
			s.failing.Store(&c.answer)
			var out string
			var err error
			log, asked := s.said(func() { out, err = s.git(reading, "ls-remote", repository) })
			// The client's words show that the helper gave up, and not sshd's own alarm, which just ends the connection.
			if err == nil || !strings.Contains(out, "Permission denied (password)") || !strings.Contains(log, c.log) || asked != 1 {
				t.Errorf("%s: %v\n%s\nthe helper says %q, and asked %d times", name, err, out, log, asked)
			}
		}
		s.failing.Store(nil)
		if out, err := s.git(reading, "ls-remote", repository); err != nil {
			t.Errorf("afterwards: %v\n%s", err, out)
		}
	})
	for _, name := range []string{"helper.log", "sshd.log"} {
		for _, bearer := range []string{writing, reading} {
			if bytes.Contains([]byte(s.read(name)), []byte(bearer)) {
				t.Errorf("%s holds a bearer", name)
			}
		}
	}
}

// flipped returns a bearer with another secret, which has not the right checksum either.
func flipped(bearer string) string {
	if strings.HasSuffix(bearer, "a") {
		return bearer[:len(bearer)-1] + "b"
	}
	return bearer[:len(bearer)-1] + "a"
}
