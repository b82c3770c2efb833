//go:build acceptance

package registry_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/infra/local"
	"latchkey/infra/local/localtest"
	"latchkey/infra/proxies"
	"latchkey/pkg/clock"
)

// both calls a test for each registry behind each door.
func both(t *testing.T, test func(t *testing.T, d door)) {
	l := newLatchkey(t)
	for _, v := range versions(t) {
		t.Run(v.name+" behind nginx", func(t *testing.T) { test(t, v.forwardAuth(t, l)) })
		t.Run(v.name+" with the token endpoint", func(t *testing.T) { test(t, v.tokenEndpoint(t, l)) })
	}
}

// layer writes a layer with a file of its own into the client's folder.
func (c client) layer(t *testing.T, content string) string {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	check(t, w.WriteHeader(&tar.Header{Name: "file", Mode: 0o644, Size: int64(len(content))}))
	_, err := w.Write([]byte(content))
	check(t, err)
	check(t, w.Close())
	file := filepath.Join(c.folder, "layer.tar")
	check(t, os.WriteFile(file, archive.Bytes(), 0o600))
	return file
}

// push pushes a new image of one layer.
func (c client) push(t *testing.T, repository, content string) (string, bool) {
	t.Helper()
	return c.crane(t, "append", "-f", c.layer(t, content), "-t", c.image(repository))
}

// Breaks if a token opens more or less in a real registry than its scopes say.
func TestEachScope(t *testing.T) {
	both(t, func(t *testing.T, d door) {
		root := d.client(t, localtest.AdminBearer)
		if said, ok := root.push(t, "acme/web/app:v1", "of root"); !ok {
			t.Fatalf("nothing to pull: %s", said)
		}
		if said, ok := root.push(t, "acme/other/app:v1", "of root, elsewhere"); !ok {
			t.Fatalf("nothing to keep from others: %s", said)
		}
		type may struct{ login, pull, push, remove bool }
		for _, test := range []struct {
			name, owner, scopes string
			may                 may
		}{
			{"read_registry", "maintainer", "read_registry", may{login: true, pull: true}},
			{"write_registry alone", "maintainer", "write_registry", may{login: true}},
			{"both", "maintainer", "read_registry write_registry", may{login: true, pull: true, push: true}},
			{"read_api", "maintainer", "read_api", may{login: true, pull: true}},
			{"api of a developer", "developer", "api", may{login: true, pull: true, push: true}},
			{"api of a maintainer", "maintainer", "api", may{true, true, true, true}},
			{"read_user", "maintainer", "read_user", may{}},
			{"read_repository", "maintainer", "read_repository write_repository", may{}},
			{"the project's token", "acme/web", "read_registry write_registry", may{login: true, pull: true, push: true}},
			{"another project's token", "acme/other", "read_registry write_registry", may{login: true}},
		} {
			t.Run(test.name, func(t *testing.T) {
				bearer := d.token(t, test.owner, strings.Fields(test.scopes)...)
				c := d.client(t, bearer)
				want := func(what string, want bool, said string, ok bool) {
					t.Helper()
					if ok != want {
						t.Errorf("%s: %t, want %t: %s", what, ok, want, said)
					}
				}
				said, ok := c.skopeo(t, "login", "--tls-verify=false", "-u", "anybody", "-p", bearer, "--authfile", filepath.Join(c.folder, "login.json"), d.address)
				want("login", test.may.login, said, ok)
				said, ok = c.crane(t, "pull", c.image("acme/web/app:v1"), filepath.Join(c.folder, "pulled.tar"))
				want("pull", test.may.pull, said, ok)
				said, ok = c.skopeo(t, "inspect", "--tls-verify=false", "docker://"+c.image("acme/web/app:v1"))
				want("inspect", test.may.pull, said, ok)
				said, ok = c.push(t, "acme/web/pushed:v1", "of "+test.name)
				want("push", test.may.push, said, ok)
				said, ok = c.skopeo(t, "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "docker://"+c.image("acme/web/app:v1"), "docker://"+c.image("acme/web/copied:v1"))
				want("copy", test.may.push, said, ok)
				if test.may.push {
					said, ok = c.crane(t, "copy", c.image("acme/web/app:v1"), c.image("acme/web/mounted:v1"))
					want("copy by mounts", true, said, ok)
				}
				if said, ok := c.crane(t, "manifest", c.image("acme/other/app:v1")); ok != (test.owner == "acme/other") {
					t.Errorf("an image of another project: %t: %s", ok, said)
				}
				if said, ok := c.crane(t, "catalog", d.address); ok {
					t.Errorf("the catalog: %s", said)
				}
				root.push(t, "acme/web/removed:v1", "of "+test.name)
				removed, ok := root.crane(t, "digest", c.image("acme/web/removed:v1"))
				if !ok {
					t.Fatal(removed)
				}
				said, ok = c.crane(t, "delete", c.image("acme/web/removed@"+removed))
				want("delete", test.may.remove, said, ok)
			})
		}
		if said, ok := root.crane(t, "catalog", d.address); !ok || !strings.Contains(said, "acme/other/app") {
			t.Errorf("the catalog of the administrator: %s", said)
		}
		for name, bearer := range map[string]string{"a password": "password", "nothing": ""} {
			if said, ok := d.client(t, bearer).crane(t, "manifest", d.image("acme/web/app:v1")); ok {
				t.Errorf("%s opens an image: %s", name, said)
			}
		}
	})
}

// send sends a request as a client does that wants the access of scopes, and returns the status.
func (c client) send(t *testing.T, method, path, contentType, body string, scopes ...string) (int, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+c.address+path, strings.NewReader(body))
	check(t, err)
	request.SetBasicAuth("anybody", c.bearer)
	if c.jwt {
		request.Header.Set("Authorization", "Bearer "+c.signed(t, scopes...))
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	return do(t, request)
}

func do(t *testing.T, request *http.Request) (int, http.Header) {
	t.Helper()
	response, err := http.DefaultTransport.RoundTrip(request)
	check(t, err)
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	check(t, err)
	return response.StatusCode, response.Header
}

// signed asks for a JWT, as things are at the time of the world's clock.
func (c client) signed(t *testing.T, scopes ...string) string {
	t.Helper()
	query := url.Values{"service": {local.RegistryService}, "scope": scopes}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL+"/jwt/auth?"+query.Encode(), nil)
	check(t, err)
	request.SetBasicAuth("anybody", c.bearer)
	reply := c.Send(t, request)
	var said struct{ Token string }
	check(t, json.Unmarshal([]byte(reply.Body), &said))
	c.Logs.Secret(said.Token)
	return said.Token
}

// Breaks if somebody can copy a layer out of a project that they cannot see.
func TestMounts(t *testing.T) { both(t, mounts) }

func mounts(t *testing.T, d door) {
	root := d.client(t, localtest.AdminBearer)
	blobs := map[string]string{}
	for _, project := range []string{"web", "other"} {
		if said, ok := root.push(t, "acme/"+project+"/app:v1", "a layer of "+project); !ok {
			t.Fatal(said)
		}
		manifest, _ := root.crane(t, "manifest", d.image("acme/"+project+"/app:v1"))
		var parts struct{ Layers []struct{ Digest string } }
		check(t, json.Unmarshal([]byte(manifest), &parts))
		blobs[project] = parts.Layers[0].Digest
	}
	c := d.client(t, d.token(t, "developer", "read_registry", "write_registry"))
	const into = "/v2/acme/web/new/blobs/uploads/"
	mount := func(project string) string { return "mount=" + blobs[project] + "&from=acme/" + project + "/app" }
	scopes := func(project string) []string {
		return []string{"repository:acme/web/new:pull,push", "repository:acme/" + project + "/app:pull"}
	}
	if status, _ := c.send(t, "POST", into+"?"+mount("web"), "", "", scopes("web")...); status != http.StatusCreated {
		t.Errorf("a mount within the project: %d", status)
	}
	if status, _ := c.send(t, "POST", into+"?"+mount("other"), "", "", scopes("other")...); status < 400 {
		t.Errorf("a mount from another project: %d", status)
	}
	const form = "application/x-www-form-urlencoded"
	if status, _ := c.send(t, "POST", into, form, mount("other"), scopes("other")...); status < 400 {
		t.Errorf("a mount by a form: %d", status)
	}
	if status, _ := c.send(t, "POST", into+"?"+mount("web"), form, mount("other"), scopes("other")...); status < 400 {
		t.Errorf("a mount by a form that contradicts the query: %d", status)
	}
	if d.jwt {
		return
	}
	// The registry itself would do it, so it is the rule that keeps it from doing so.
	request, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+d.behind+into, strings.NewReader(mount("other")))
	check(t, err)
	request.Header.Set("Content-Type", form)
	if status, _ := do(t, request); status != http.StatusCreated {
		t.Errorf("the registry takes no form any more: %d", status)
	}
}

// Breaks if a revoked token still passes: at all behind a proxy, or beyond the life of a JWT.
func TestRevocation(t *testing.T) {
	both(t, func(t *testing.T, d door) {
		if said, ok := d.client(t, localtest.AdminBearer).push(t, "acme/web/app:v1", "of root"); !ok {
			t.Fatal(said)
		}
		c := d.client(t, d.token(t, "developer", "read_registry"))
		const manifest = "/v2/acme/web/app/manifests/v1"
		get := func(authorization string) int {
			request, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+d.address+manifest, nil)
			check(t, err)
			request.SetBasicAuth("anybody", c.bearer)
			if authorization != "" {
				request.Header.Set("Authorization", authorization)
			}
			request.Header.Set("Accept", "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json")
			status, _ := do(t, request)
			return status
		}
		signed := ""
		if d.jwt {
			d.now()
			signed = "Bearer " + c.signed(t, "repository:acme/web/app:pull")
		}
		if status := get(signed); status != http.StatusOK {
			t.Fatalf("with a good token: %d", status)
		}
		if d.jwt {
			// What was signed so long ago is refused now, so what is signed now will be: the registry adds a minute
			// for clocks that differ.
			d.Clock.Set(clock.System{}.Now().Add(-life - time.Minute - 5*time.Second))
			if status := get("Bearer " + c.signed(t, "repository:acme/web/app:pull")); status != http.StatusUnauthorized {
				t.Errorf("with a JWT whose time is up: %d", status)
			}
			d.now()
		}
		c.revoke(t, c.bearer)
		switch status := get(signed); {
		case d.jwt && status != http.StatusOK:
			t.Errorf("a JWT ended early, which is good news for docs/registry.md: %d", status)
		case !d.jwt && status != http.StatusUnauthorized:
			t.Errorf("revoked, behind the proxy: %d", status)
		}
		if said, ok := c.crane(t, "manifest", c.image("acme/web/app:v1")); ok {
			t.Errorf("crane still gets the image: %s", said)
		}
		if said, ok := c.skopeo(t, "login", "--tls-verify=false", "-u", "anybody", "-p", c.bearer, d.address); ok {
			t.Errorf("skopeo still logs in: %s", said)
		}
	})
}

// Breaks if a registry trusts something that this Latchkey has not signed.
func TestForgedJWTs(t *testing.T) {
	l := newLatchkey(t)
	for _, v := range versions(t) {
		t.Run(v.name, func(t *testing.T) {
			d := v.tokenEndpoint(t, l)
			d.now()
			c := d.client(t, localtest.AdminBearer)
			signed := c.signed(t, "repository:acme/web/app:pull,push")
			parts := strings.Split(signed, ".")
			other := strings.Split(c.signed(t, "repository:acme/other/app:pull,push"), ".")
			for name, forged := range map[string]string{
				"as it is":            signed,
				"claims of another":   strings.Join([]string{parts[0], other[1], parts[2]}, "."),
				"without a signature": strings.Join([]string{"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", parts[1], ""}, "."),
				"the bearer itself":   localtest.AdminBearer,
			} {
				request, err := http.NewRequestWithContext(t.Context(), "POST", fmt.Sprintf("http://%s/v2/acme/web/app/blobs/uploads/", d.address), nil)
				check(t, err)
				request.Header.Set("Authorization", "Bearer "+forged)
				if status, _ := do(t, request); (status == http.StatusAccepted) != (name == "as it is") {
					t.Errorf("%s: %d", name, status)
				}
			}
		})
	}
}

// Breaks if docs/registry.md warns of a configuration that works: registry 3.x with the set of keys and without the
// certificates.
func TestKeySetAlone(t *testing.T) {
	l := newLatchkey(t)
	for _, v := range versions(t) {
		if v.name == "2.8" {
			continue // knows no such set
		}
		address := v.start(t, l.authentication("    jwks: "+l.keys+"\n"))
		l.now()
		c := door{l, address, address, true}.client(t, localtest.AdminBearer)
		if status, _ := c.send(t, "GET", "/v2/", "", ""); status != http.StatusUnauthorized {
			t.Errorf("registry %s takes it: %d", v.name, status)
		}
	}
}

// The samples for the other proxies say which lines to change for a registry. Breaks if that does not do.
func TestOtherProxies(t *testing.T) {
	l := newLatchkey(t)
	for _, test := range []struct {
		program proxies.Program
		changes map[string]string
	}{
		{proxies.Traefik, map[string]string{"/auth/traefik/api": "/auth/traefik/registry", `Bearer realm="Latchkey"`: `Basic realm="Latchkey"`}},
		{proxies.Caddy, map[string]string{"/auth/caddy/api": "/auth/caddy/registry"}},
		{proxies.Envoy, map[string]string{"/auth/envoy/api": "/auth/envoy/registry"}},
	} {
		t.Run(test.program.Name, func(t *testing.T) {
			d := versions(t)[1].behindProxy(t, l, test.program, "api", test.changes)
			mounts(t, d)
			bearer := d.token(t, "developer", "read_registry", "write_registry")
			c := d.client(t, bearer)
			for _, command := range [][]string{
				{"login", "--tls-verify=false", "-u", "anybody", "-p", bearer, d.address},
				{"copy", "--src-tls-verify=false", "--dest-tls-verify=false", "docker://" + c.image("acme/web/app:v1"), "docker://" + c.image("acme/web/copied:v1")},
			} {
				if said, ok := c.skopeo(t, command...); !ok {
					t.Errorf("%s: %s", command[0], said)
				}
			}
			c.revoke(t, bearer)
			if said, ok := c.crane(t, "manifest", c.image("acme/web/app:v1")); ok {
				t.Errorf("revoked, and crane still gets the image: %s", said)
			}
		})
	}
}
