//go:build acceptance

package git_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/infra/proxies"
)

// What git says where a request is refused: it asks for a password that nobody has, or it shows GitLab's words.
const (
	fine   = ""
	asks   = "Authentication failed"
	noPull = "remote: You are not allowed to download code."
	noPush = "remote: You are not allowed to upload code"
	hides  = "remote: The project you were looking for could not be found"
)

// TestGit clones from and pushes to acme/web through every proxy, with each scope and kind of token.
func TestGit(t *testing.T) {
	t.Parallel()
	for _, program := range proxies.All() {
		t.Run(program.Name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, newHouse(t), program)
			revoked := d.token(t, "developer", "api")
			if got := d.Do(t, revoked, http.MethodDelete, "/api/v4/personal_access_tokens/self", ""); got.Status != http.StatusNoContent {
				t.Fatalf("revoke: %d", got.Status)
			}
			for i, c := range []struct {
				name, bearer string
				clone, push  string
			}{
				{"no token", "", asks, asks},
				{"wrong token", "lkpat_wrong", asks, asks},
				{"revoked token", revoked, asks, asks},
				{"api", d.bearers["developer"], fine, fine},
				{"read_api", d.token(t, "developer", "read_api"), fine, noPush},
				{"read_repository", d.token(t, "developer", "read_repository"), fine, noPush},
				{"write_repository", d.token(t, "developer", "write_repository"), fine, fine},
				{"read_user", d.token(t, "developer", "read_user"), noPull, noPush},
				{"read_registry", d.token(t, "developer", "read_registry"), noPull, noPush},
				{"a reporter", d.bearers["reporter"], fine, noPush},
				{"a stranger", d.bearers["stranger"], hides, hides},
				{"token of the project", d.projectToken(t, "acme/web", "write_repository"), fine, fine},
				{"reading token of the project", d.projectToken(t, "acme/web", "read_repository"), fine, noPush},
				{"token of another project", d.projectToken(t, "acme/other", "write_repository"), asks, asks},
			} {
				folder := filepath.Join(t.TempDir(), "clone")
				remote := d.remote(c.bearer, "acme/web.git")
				said, err := run(t.Context(), "", "clone", "--quiet", remote, folder)
				expect(t, c.name+" clones", c.clone, said, err)
				if c.clone != fine { // what a thief has who got the files elsewhere
					d.git(t, "", "clone", "--quiet", filepath.Join(d.repositories, "acme", "web.git"), folder)
					d.git(t, folder, "remote", "set-url", "origin", remote)
				} else {
					said, err = run(t.Context(), folder, "fetch", "--quiet")
					expect(t, c.name+" fetches", c.clone, said, err)
				}
				d.commit(t, folder, c.name)
				said, err = run(t.Context(), folder, "push", "--quiet", "origin", fmt.Sprintf("main:branch%d", i))
				expect(t, c.name+" pushes", c.push, said, err)
				listed, err := run(t.Context(), filepath.Join(d.repositories, "acme", "web.git"), "branch", "--list", fmt.Sprintf("branch%d", i))
				check(t, err)
				if pushed := listed != ""; pushed != (c.push == fine) {
					t.Errorf("%s pushes: the branch is there: %v", c.name, pushed)
				}
			}
		})
	}
}

func expect(t *testing.T, what, want, said string, err error) {
	t.Helper()
	if (err == nil) != (want == fine) || !strings.Contains(said, want) {
		t.Errorf("%s: want %q, got %v: %s", what, want, err, said)
	}
}

// TestRevokedInBetween revokes a token between clone and the next request, through every proxy.
func TestRevokedInBetween(t *testing.T) {
	t.Parallel()
	for _, program := range proxies.All() {
		t.Run(program.Name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, newHouse(t), program)
			bearer, folder := d.token(t, "developer", "write_repository"), filepath.Join(t.TempDir(), "clone")
			d.git(t, "", "clone", "--quiet", d.remote(bearer, "acme/web.git"), folder)
			d.commit(t, folder, "second")
			if got := d.Do(t, bearer, http.MethodDelete, "/api/v4/personal_access_tokens/self", ""); got.Status != http.StatusNoContent {
				t.Fatalf("revoke: %d", got.Status)
			}
			for _, arguments := range [][]string{{"fetch"}, {"push", "origin", "main:late"}} {
				said, err := run(t.Context(), folder, arguments...)
				expect(t, arguments[0], asks, said, err)
			}
		})
	}
}

// TestForgedAtTheCGI sends what CGI reads as X-Auth-User through every proxy. What the program sees comes from Latchkey.
func TestForgedAtTheCGI(t *testing.T) {
	t.Parallel()
	for _, program := range proxies.All() {
		t.Run(program.Name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, newHouse(t), program)
			bearer, served := d.token(t, "developer", "read_repository"), 0
			for _, name := range []string{"X-Auth-User", "X_Auth_User", "X-Auth_User", "X.Auth.User", "X!Auth!User", "x_auth_user", "REMOTE_USER", "Remote-User", "X_Auth_Scopes"} {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.proxy.URL+"/acme/web.git/info/refs?service=git-upload-pack", nil)
				check(t, err)
				request.SetBasicAuth("admin", bearer)
				request.Header[name] = []string{"forged"}
				response, err := http.DefaultTransport.RoundTrip(request)
				check(t, err)
				response.Body.Close()
				if response.StatusCode == http.StatusOK {
					served++
				} else if response.StatusCode != http.StatusBadRequest {
					t.Errorf("%s: %s", name, response.Status)
				}
			}
			raw, err := os.ReadFile(d.environment)
			check(t, err)
			users := 0
			for line := range strings.Lines(string(raw)) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
				switch {
				case name == "REMOTE_USER" || name == "HTTP_X_AUTH_USER":
					users++
					if value != "developer" {
						t.Errorf("the program sees %s", line)
					}
				case strings.HasPrefix(name, "HTTP_X_AUTH_") && value == "forged", value != "" && (name == "HTTP_AUTHORIZATION" || name == "HTTP_PRIVATE_TOKEN"):
					t.Errorf("the program sees %s", line)
				}
			}
			if served == 0 || users != 2*served {
				t.Errorf("%d requests were served, and the program saw the user %d times", served, users)
			}
		})
	}
}

// TestOddPaths looks for a way to acme/web with a token of acme/other, by spellings of a path that a proxy, Latchkey and the
// CGI program might read differently. Only acme/other is ever served.
func TestOddPaths(t *testing.T) {
	t.Parallel()
	const refs = "/info/refs?service=git-upload-pack"
	for _, program := range proxies.All() {
		t.Run(program.Name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, newHouse(t), program)
			bearer := d.projectToken(t, "acme/other", "read_repository")
			for _, target := range []string{
				"/acme/other.git" + refs, // the way that is open
				"/acme/web.git" + refs, "/acme/other.git/../web.git" + refs, "/acme/other.git/%2e%2e/web.git" + refs,
				"/acme/other.git/..%2fweb.git" + refs, "/acme/other.git%2f..%2fweb.git" + refs, "/acme/other.git/.%2e/web.git" + refs,
				"/acme/other.git/info/refs/../../../web.git" + refs, "/acme/other.git;/../web.git" + refs, "/acme/other.git/..;/web.git" + refs,
				`/acme/other.git/..\web.git` + refs, "/acme/other.git/..%5cweb.git" + refs, "//acme/web.git" + refs, "/acme//web.git" + refs,
				"/acme/./web.git" + refs, "/acme/%77eb.git" + refs, "/acme/WEB.git" + refs, "/acme/web.git/" + refs[1:], "/acme/web" + refs,
				"/acme/web.git" + refs + "&path=/acme/other.git", "/acme/web.git/info/refs?service=git-upload-pack#/acme/other.git" + refs,
				"/acme/other.git/info/refs%3fservice=git-upload-pack/../../../web.git" + refs, "/acme/web.git%00/../other.git" + refs,
				"/acme/web.git/HEAD", "/acme/web.git/objects/info/packs", "/acme/other.git/HEAD",
				"http://127.0.0.1/acme/web.git" + refs, "/acme/other.git/objects/../../web.git" + refs,
			} {
				d.ask(t, target, bearer)
			}
			raw, err := os.ReadFile(d.environment)
			check(t, err)
			served := 0
			for line := range strings.Lines(string(raw)) {
				if path, ok := strings.CutPrefix(strings.TrimSpace(line), "PATH_INFO="); ok {
					served++
					if path != "/acme/other.git/info/refs" {
						t.Errorf("the program serves %s", path)
					}
				}
			}
			if served == 0 {
				t.Error("nothing is served, not even what the token opens")
			}
		})
	}
}

// ask sends a request for a target as it is written, and reads the answer.
func (d *door) ask(t *testing.T, target, bearer string) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(d.proxy.URL, "http://"))
	check(t, err)
	defer conn.Close()
	check(t, conn.SetDeadline(time.Now().Add(15*time.Minute)))
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: git.example.test\r\nConnection: close\r\nPRIVATE-TOKEN: %s\r\n\r\n", target, bearer)
	check(t, err)
	_, _ = io.Copy(io.Discard, conn) // a proxy may close the connection without an answer
}

// TestLargeFiles asks for the batches and locks of LFS behind nginx, with each scope. nginx tells Latchkey nothing of the
// body, so each batch counts as an upload.
func TestLargeFiles(t *testing.T) {
	t.Parallel()
	d := newDoor(t, newHouse(t), proxies.Nginx)
	reader, writer := d.token(t, "developer", "read_repository"), d.token(t, "developer", "write_repository")
	for _, c := range []struct {
		name, method, path, bearer, body string
		want                             int
	}{
		{"a writer uploads", http.MethodPost, "/objects/batch", writer, `{"operation":"upload"}`, 200},
		{"a writer downloads", http.MethodPost, "/objects/batch", writer, `{"operation":"download"}`, 200},
		{"a reader uploads", http.MethodPost, "/objects/batch", reader, `{"operation":"upload"}`, 403},
		{"a reader might upload", http.MethodPost, "/objects/batch", reader, `{"operation":"download"}`, 403},
		{"a reader lists locks", http.MethodGet, "/locks", reader, "", 200},
		{"a reader locks", http.MethodPost, "/locks", reader, `{"path":"file"}`, 403},
		{"a writer locks", http.MethodPost, "/locks", writer, `{"path":"file"}`, 200},
		{"api uploads", http.MethodPost, "/objects/batch", d.bearers["developer"], `{"operation":"upload"}`, 200},
		{"a reporter's api might upload", http.MethodPost, "/objects/batch", d.bearers["reporter"], `{"operation":"download"}`, 403},
		{"read_api uploads", http.MethodPost, "/objects/batch", d.token(t, "developer", "read_api"), `{"operation":"upload"}`, 403},
		{"read_user lists locks", http.MethodGet, "/locks", d.token(t, "developer", "read_user"), "", 403},
		{"a stranger uploads", http.MethodPost, "/objects/batch", d.bearers["stranger"], `{"operation":"upload"}`, 404},
		{"nobody lists locks", http.MethodGet, "/locks", "", "", 401},
		{"the project's token uploads", http.MethodPost, "/objects/batch", d.projectToken(t, "acme/web", "write_repository"), `{"operation":"upload"}`, 200},
		{"another project's token uploads", http.MethodPost, "/objects/batch", d.projectToken(t, "acme/other", "write_repository"), `{"operation":"upload"}`, 401},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, d.proxy.URL+"/acme/web.git/info/lfs"+c.path, strings.NewReader(c.body))
		check(t, err)
		request.Header.Set("Content-Type", "application/vnd.git-lfs+json")
		if c.bearer != "" {
			request.SetBasicAuth("whoever", c.bearer)
		}
		response, err := http.DefaultTransport.RoundTrip(request)
		check(t, err)
		response.Body.Close()
		if response.StatusCode != c.want {
			t.Errorf("%s: %s, want %d", c.name, response.Status, c.want)
		}
		if challenge := response.Header.Get("WWW-Authenticate"); c.want == http.StatusUnauthorized && !strings.HasPrefix(challenge, "Basic ") {
			t.Errorf("%s: challenge %q", c.name, challenge)
		}
	}
}
