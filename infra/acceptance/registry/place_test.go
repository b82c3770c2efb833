//go:build acceptance

package registry_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/infra/cloud/child"
	"latchkey/infra/local"
	"latchkey/infra/local/localtest"
	"latchkey/infra/proxies"
	"latchkey/pkg/clock"
)

// life is that of a JWT: the shortest.
const life = 60 * time.Second

// A Latchkey with people and projects. A registry takes the time from the machine, so each step sets the
// world's clock, which stands still otherwise.
type latchkey struct {
	*localtest.World
	users        map[string]int // ids of accounts
	bundle, keys string         // files
}

func newLatchkey(t *testing.T) *latchkey {
	t.Helper()
	w := localtest.Start(t, localtest.Options{Parameters: map[string]string{"RegistryTokenSeconds": "60"}})
	l := &latchkey{World: w, users: map[string]int{}}
	l.now()
	folder := t.TempDir()
	l.bundle, l.keys = filepath.Join(folder, "bundle.pem"), filepath.Join(folder, "keys.json")
	for path, file := range map[string]string{"/jwt/certs": l.bundle, "/jwt/keys": l.keys} {
		check(t, os.WriteFile(file, []byte(w.Do(t, "", "GET", path, "").Body), 0o600))
	}
	group := l.made(t, "/groups", map[string]any{"name": "Acme", "path": "acme"})
	for _, path := range []string{"web", "other"} {
		l.made(t, "/projects", map[string]any{"name": path, "path": path, "namespace_id": group.ID})
	}
	for name, level := range map[string]int{"developer": 30, "maintainer": 40} {
		l.users[name] = l.made(t, "/users", map[string]any{
			"username": name, "name": name, "email": name + "@example.test", "force_random_password": true,
		}).ID
		l.made(t, "/projects/acme%2Fweb/members", map[string]any{"user_id": l.users[name], "access_level": level})
	}
	return l
}

// now sets the clock.
func (l *latchkey) now() { l.Clock.Set(clock.System{}.Now()) }

type object struct {
	ID    int
	Token string
}

// made makes something as the administrator.
func (l *latchkey) made(t *testing.T, path string, fields map[string]any) (made object) {
	t.Helper()
	body, err := json.Marshal(fields)
	check(t, err)
	reply := l.Do(t, localtest.AdminBearer, "POST", "/api/v4"+path, string(body))
	if reply.Status != http.StatusCreated {
		t.Fatalf("POST %s: %d %s", path, reply.Status, reply.Body)
	}
	check(t, json.Unmarshal([]byte(reply.Body), &made))
	return made
}

// token makes a token of an account, or of a project, acme/….
func (l *latchkey) token(t *testing.T, owner string, scopes ...string) string {
	t.Helper()
	fields := map[string]any{"name": "images", "scopes": scopes, "expires_at": l.Clock.Now().AddDate(0, 0, 30).Format(time.DateOnly)}
	path := fmt.Sprintf("/users/%d/personal_access_tokens", l.users[owner])
	if strings.Contains(owner, "/") {
		path, fields["access_level"] = "/projects/"+strings.ReplaceAll(owner, "/", "%2F")+"/access_tokens", 30
	}
	return l.made(t, path, fields).Token
}

func (l *latchkey) revoke(t *testing.T, bearer string) {
	t.Helper()
	if reply := l.Do(t, bearer, "DELETE", "/api/v4/personal_access_tokens/self", ""); reply.Status != http.StatusNoContent {
		t.Fatalf("revoke: %d %s", reply.Status, reply.Body)
	}
}

// A version is a registry's program.
type version struct{ name, path string }

// versions returns the registries. A missing one fails the test.
func versions(t *testing.T) []version {
	t.Helper()
	return []version{{"2.8", program(t, "docker-registry", "")}, {"3.x", program(t, "registry", "REGISTRY")}}
}

// program returns the path of a program, which an environment variable may name.
func program(t *testing.T, name, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if variable == "" {
		path, _ = exec.LookPath(name)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s: %v: `make acceptance` installs it", name, err)
	}
	return path
}

// configuration is a registry's. What differs is its authentication.
const configuration = `version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: %s }, delete: { enabled: true } }
http: { addr: 127.0.0.1:%d, secret: of-one-instance }
%s`

// start starts a registry and returns its address.
func (v version) start(t *testing.T, authentication string) string {
	t.Helper()
	folder := t.TempDir()
	var address string
	process, err := child.Retry(t.Context(), func(port int) (*child.Child, error) {
		config := filepath.Join(folder, "config.yml")
		check(t, os.WriteFile(config, fmt.Appendf(nil, configuration, filepath.Join(folder, "images"), port, authentication), 0o600))
		// Registry 3.x would send traces.
		process, err := child.Start(folder, []string{"OTEL_TRACES_EXPORTER=none"}, v.path, "serve", config)
		if err != nil {
			return nil, err
		}
		address = fmt.Sprintf("127.0.0.1:%d", port)
		if err := await(t, process, address); err != nil {
			process.Stop()
			return nil, err
		}
		return process, nil
	})
	check(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("registry %s says: %s", v.name, process.Tail())
		}
		process.Stop()
	})
	return address
}

// await waits until the registry answers.
func await(t *testing.T, process *child.Child, address string) error {
	t.Helper()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		response, err := http.Get("http://" + address + "/v2/")
		if err == nil {
			return response.Body.Close()
		}
		select {
		case <-process.Exited():
			return fmt.Errorf("%w: %s", child.ErrExited, process.Tail())
		case <-t.Context().Done():
			return errors.Join(err, t.Context().Err())
		case <-poll.C:
		}
	}
}

// A door is a registry that asks Latchkey in one way.
type door struct {
	*latchkey
	// address is where clients go, and behind it the registry itself.
	address, behind string
	jwt             bool
}

// forwardAuth starts a registry behind nginx, which asks about each request.
func (v version) forwardAuth(t *testing.T, l *latchkey) door {
	t.Helper()
	return v.behindProxy(t, l, proxies.Nginx, "registry", nil)
}

// behindProxy starts a registry behind a proxy with a sample, and with other texts in it.
func (v version) behindProxy(t *testing.T, l *latchkey, program proxies.Program, sample string, more map[string]string) door {
	t.Helper()
	behind := v.start(t, "")
	front, err := proxies.NewFront(t.Context(), t.TempDir(), l.URL, nil)
	check(t, err)
	t.Cleanup(func() { _ = front.Close() })
	proxy, err := proxies.Start(t.Context(), program, t.TempDir(), sample, proxies.Place{
		Latchkey: front.Address, Authorities: front.Authorities, Backend: behind, More: more,
	})
	check(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s says: %s", program.Name, proxy.Tail())
		}
		proxy.Stop()
	})
	return door{l, strings.TrimPrefix(proxy.URL, "http://"), behind, false}
}

// authentication is the part of a registry's configuration about the token endpoint.
func (l *latchkey) authentication(keys string) string {
	endpoint := strings.Replace(l.URL, "127.0.0.1", "localhost", 1) // crane asks no address of a private network
	return fmt.Sprintf("auth:\n  token:\n    realm: %s/jwt/auth\n    service: %s\n    issuer: latchkey\n%s", endpoint, local.RegistryService, keys)
}

// tokenEndpoint starts a registry that sends its clients to the token endpoint.
func (v version) tokenEndpoint(t *testing.T, l *latchkey) door {
	t.Helper()
	settings := l.authentication("    rootcertbundle: " + l.bundle + "\n")
	if v.name != "2.8" {
		settings += "    jwks: " + l.keys + "\n    signingalgorithms: [ES256]\n"
	}
	address := v.start(t, settings)
	return door{l, address, address, true}
}

// A client is somebody with a token and the programs for images.
type client struct {
	door
	bearer, folder string
}

// client returns a client with a bearer, which it stores as `docker login` does.
func (d door) client(t *testing.T, bearer string) client {
	t.Helper()
	c := client{d, bearer, t.TempDir()}
	stored, err := json.Marshal(map[string]any{"auths": map[string]any{
		d.address: map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte("anybody:" + bearer))},
	}})
	check(t, err)
	check(t, os.WriteFile(filepath.Join(c.folder, "config.json"), stored, 0o600))
	return c
}

// run runs a program and returns what it printed, and whether it succeeded.
func (c client) run(t *testing.T, path string, arguments ...string) (string, bool) {
	t.Helper()
	c.now()
	command := exec.CommandContext(t.Context(), path, arguments...)
	command.Env = append(os.Environ(), "DOCKER_CONFIG="+c.folder, "REGISTRY_AUTH_FILE="+filepath.Join(c.folder, "config.json"), "HOME="+c.folder)
	command.Dir = c.folder
	var out, problems bytes.Buffer
	command.Stdout, command.Stderr = &out, &problems
	err := command.Run()
	if exited := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exited) {
		t.Fatal(err)
	}
	if err != nil {
		return problems.String(), false
	}
	return strings.TrimSpace(out.String()), true
}

func (c client) crane(t *testing.T, arguments ...string) (string, bool) {
	t.Helper()
	return c.run(t, program(t, "crane", "CRANE"), arguments...)
}

func (c client) skopeo(t *testing.T, arguments ...string) (string, bool) {
	t.Helper()
	return c.run(t, program(t, "skopeo", ""), append([]string{"--insecure-policy"}, arguments...)...)
}

// image returns the name of an image in the registry.
func (d door) image(repository string) string { return d.address + "/" + repository }

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
