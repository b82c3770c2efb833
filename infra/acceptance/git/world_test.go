//go:build acceptance

package git_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/infra/cloud/child"
	"latchkey/infra/local/localtest"
	"latchkey/infra/proxies"
)

// httpBackend is the CGI program of Git, at Debian's place for it.
const httpBackend = "/usr/lib/git-core/git-http-backend"

// A house has Latchkey, the repositories acme/web and acme/other, and people: the developer and the reporter of
// acme/web, and a stranger.
type house struct {
	*localtest.World
	repositories string
	// cgi is a program that writes what it learns of the request into environment, and then is git http-backend.
	cgi, environment string
	bearers          map[string]string // by person, with the scope api
	ids              map[string]int
}

func newHouse(t *testing.T) *house {
	t.Helper()
	folder := t.TempDir()
	h := &house{
		World: localtest.Start(t, localtest.Options{}), repositories: filepath.Join(folder, "git"),
		cgi: filepath.Join(folder, "backend.sh"), environment: filepath.Join(folder, "environment"),
		bearers: map[string]string{}, ids: map[string]int{},
	}
	var group, web struct{ ID int }
	h.create(t, localtest.AdminBearer, "/groups", `{"name":"acme","path":"acme"}`, &group)
	for _, name := range []string{"web", "other"} {
		var made struct{ ID int }
		h.create(t, localtest.AdminBearer, "/projects", fmt.Sprintf(`{"name":%q,"path":%q,"namespace_id":%d}`, name, name, group.ID), &made)
		if name == "web" {
			web = made
		}
		h.repository(t, folder, name)
	}
	for person, level := range map[string]int{"developer": 30, "reporter": 20, "maintainer": 40, "stranger": 0} {
		var made struct{ ID int }
		h.create(t, localtest.AdminBearer, "/users", fmt.Sprintf(`{"username":%q,"name":"P","email":"%s@example.test","password":"long-enough-1"}`, person, person), &made)
		h.ids[person] = made.ID
		if level > 0 {
			h.create(t, localtest.AdminBearer, fmt.Sprintf("/projects/%d/members", web.ID), fmt.Sprintf(`{"user_id":%d,"access_level":%d}`, made.ID, level), &struct{}{})
		}
		h.bearers[person] = h.token(t, person, "api")
	}
	script := fmt.Sprintf("#!/bin/sh\nenv | grep -E '^(HTTP_|REMOTE_USER|PATH_INFO)' >>%q\nexec %s\n", h.environment, httpBackend)
	check(t, os.WriteFile(h.cgi, []byte(script), 0o755))
	return h
}

// repository makes a bare repository with one commit.
func (h *house) repository(t *testing.T, folder, name string) {
	t.Helper()
	work, bare := filepath.Join(folder, name), filepath.Join(h.repositories, "acme", name+".git")
	h.git(t, "", "init", "--quiet", "--initial-branch=main", work)
	h.commit(t, work, "first")
	h.git(t, "", "clone", "--quiet", "--bare", work, bare)
}

func (h *house) commit(t *testing.T, work, text string) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(work, "file"), []byte(text), 0o600))
	h.git(t, work, "add", "file")
	h.git(t, work, "-c", "user.name=P", "-c", "user.email=p@example.test", "commit", "--quiet", "-m", text)
}

// run runs git in a folder, without the machine's configuration, and returns what it says.
func run(ctx context.Context, folder string, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, "git", arguments...)
	command.Dir = folder
	command.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true", "LC_ALL=C")
	said, err := command.CombinedOutput()
	return string(said), err
}

func (h *house) git(t *testing.T, folder string, arguments ...string) {
	t.Helper()
	if said, err := run(t.Context(), folder, arguments...); err != nil {
		t.Fatalf("git %v: %v: %s", arguments, err, said)
	}
}

// create makes something with the API.
func (h *house) create(t *testing.T, bearer, path, body string, made any) {
	t.Helper()
	got := h.Do(t, bearer, http.MethodPost, "/api/v4"+path, body)
	if got.Status != http.StatusCreated {
		t.Fatalf("POST %s: %d %s", path, got.Status, got.Body)
	}
	check(t, json.Unmarshal([]byte(got.Body), made))
}

// token returns the bearer of a new token of a person.
func (h *house) token(t *testing.T, person, scope string) string {
	t.Helper()
	return h.newToken(t, localtest.AdminBearer, fmt.Sprintf("/users/%d/personal_access_tokens", h.ids[person]), fmt.Sprintf(`{"name":"git","scopes":[%q]}`, scope))
}

// projectToken returns the bearer of a new token of a project.
func (h *house) projectToken(t *testing.T, project, scope string) string {
	t.Helper()
	return h.newToken(t, localtest.AdminBearer, "/projects/"+url.PathEscape(project)+"/access_tokens",
		fmt.Sprintf(`{"name":"git","scopes":[%q],"access_level":30,"expires_at":"2026-12-31"}`, scope))
}

func (h *house) newToken(t *testing.T, bearer, path, body string) string {
	t.Helper()
	var made struct{ Token string }
	h.create(t, bearer, path, body, &made)
	h.Logs.Secret(made.Token)
	return made.Token
}

// A door is a proxy in front of the repositories.
type door struct {
	*house
	proxy *proxies.Server
}

// newDoor starts a proxy with its sample for Git. Behind nginx, fcgiwrap runs the program; behind the others, a server
// in Go does.
func newDoor(t *testing.T, h *house, program proxies.Program) *door {
	t.Helper()
	folder := t.TempDir()
	front, err := proxies.NewFront(t.Context(), folder, h.URL, nil)
	check(t, err)
	t.Cleanup(func() { _ = front.Close() })
	at := proxies.Place{Latchkey: front.Address, Authorities: front.Authorities}
	sample := "git"
	if program.Name == proxies.Nginx.Name {
		lfs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.git-lfs+json")
			_, _ = fmt.Fprintf(w, `{"objects":[],"user":%q}`, r.Header.Get("X-Auth-User"))
		}))
		t.Cleanup(lfs.Close)
		at.Backend = lfs.Listener.Addr().String()
		at.More = map[string]string{"unix:/run/fcgiwrap.socket": wrap(t), "/srv/git": h.repositories, httpBackend: h.cgi}
	} else {
		sample = "api"
		backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			(&cgi.Handler{Path: h.cgi, Env: []string{
				"GIT_PROJECT_ROOT=" + h.repositories, "GIT_HTTP_EXPORT_ALL=", "REMOTE_USER=" + r.Header.Get("X-Auth-User"), "PATH=" + os.Getenv("PATH"),
			}}).ServeHTTP(w, r)
		}))
		t.Cleanup(backend.Close)
		at.Backend = backend.Listener.Addr().String()
		at.More = map[string]string{"/auth/" + program.Name + "/api": "/auth/" + program.Name + "/git"}
		if program.Name == proxies.Traefik.Name {
			at.More[`Bearer realm="Latchkey"`] = `Basic realm="Latchkey"`
		}
	}
	d := &door{house: h}
	d.proxy, err = proxies.Start(t.Context(), program, folder, sample, at)
	check(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s says: %s", program.Name, d.proxy.Tail())
		}
		d.proxy.Stop()
	})
	return d
}

// wrap starts fcgiwrap and returns its address.
func wrap(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("fcgiwrap")
	if err != nil {
		program = "/usr/sbin/fcgiwrap"
	}
	address := ""
	process, err := child.Retry(t.Context(), func(port int) (*child.Child, error) {
		address = "127.0.0.1:" + strconv.Itoa(port)
		process, err := child.Start("", nil, program, "-s", "tcp:"+address)
		if err != nil {
			return nil, err
		}
		for {
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
			if err == nil {
				conn.Close()
				return process, nil
			}
			select {
			case <-process.Exited():
				return nil, errors.Join(child.ErrExited, err)
			case <-t.Context().Done():
				process.Stop()
				return nil, t.Context().Err()
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	check(t, err)
	t.Cleanup(process.Stop)
	return address
}

// remote returns the address of a repository for git, with a bearer as the password.
func (d *door) remote(bearer, repository string) string {
	address := strings.TrimPrefix(d.proxy.URL, "http://")
	if bearer == "" {
		return "http://" + address + "/" + repository
	}
	return "http://whoever:" + url.QueryEscape(bearer) + "@" + address + "/" + repository
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
