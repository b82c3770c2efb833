package e2e_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"latchkey/infra/local/localtest"
	"latchkey/pkg/store/storetest"
)

// A dialect asks about a request as a proxy does; extra are headers that the client sent.
type dialect struct {
	name    string
	refuses int // status of what is malformed
	ask     func(tb testing.TB, w *localtest.World, method, target string, extra ...string) localtest.Reply
}

func described(name, methodHeader, targetHeader string, refuses int) dialect {
	return dialect{name, refuses, func(tb testing.TB, w *localtest.World, method, target string, extra ...string) localtest.Reply {
		return asks(tb, w, "GET", "/auth/"+name, append([]string{methodHeader, method, targetHeader, target}, extra...)...)
	}}
}

var dialects = []dialect{
	described("nginx", "X-Original-Method", "X-Original-URI", 403),
	described("traefik", "X-Forwarded-Method", "X-Forwarded-Uri", 400),
	described("caddy", "X-Forwarded-Method", "X-Forwarded-Uri", 400),
	{"envoy", 400, func(tb testing.TB, w *localtest.World, method, target string, extra ...string) localtest.Reply {
		return rawAsk(tb, w, method, "/auth/envoy/api"+target, extra...)
	}},
}

// rawAsk sends a request target as it is.
func rawAsk(tb testing.TB, w *localtest.World, method, target string, headers ...string) localtest.Reply {
	tb.Helper()
	request, err := http.NewRequestWithContext(tb.Context(), method, w.URL, nil)
	if err != nil {
		tb.Fatal(err)
	}
	path, query, _ := strings.Cut(target, "?")
	request.URL.Opaque, request.URL.RawQuery = path, query
	for i := 0; i < len(headers); i += 2 {
		request.Header[headers[i]] = append(request.Header[headers[i]], headers[i+1])
	}
	return w.Send(tb, request)
}

var identity = []string{"X-Auth-User", "X-Auth-User-Id", "X-Auth-Token-Id", "X-Auth-Scopes", "X-Auth-Project"}

// aliases are the other spellings in which backends read a header's name.
func aliases(name string) (all []string) {
	for _, to := range []string{"_", ".", "!"} {
		all = append(all, strings.ReplaceAll(name, "-", to))
	}
	return append(all, strings.Replace(name, "-", "_", 1), strings.ToLower(strings.Replace(name, "-", "~", 1)))
}

// Breaks if a client can choose who it is, what the rule sees, or what the backend does.
func TestForwardAuthRefusesWhatCouldBeReadInTwoWays(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{})
	reader := newAccount(t, w, "reader", "read_api")
	good := []string{"Private-Token", reader.Bearer}
	for _, d := range dialects {
		refused := func(what string, got localtest.Reply) {
			t.Helper()
			if got.Status != d.refuses || got.Header.Get("X-Auth-Reason") == "" || got.Header["X-Auth-User"] != nil {
				t.Errorf("%s, %s: %d %v", d.name, what, got.Status, got.Header)
			}
		}
		if got := d.ask(t, w, "GET", "/orders/%C3%A4/42?a=%2e%2e/&b=c//d", good...); got.Status != 200 {
			t.Errorf("%s: %d %s", d.name, got.Status, got.Body)
		}
		for _, header := range identity {
			for _, alias := range aliases(header) {
				refused(alias, d.ask(t, w, "GET", "/orders", append([]string{alias, "admin"}, good...)...))
			}
			got := d.ask(t, w, "GET", "/orders", append([]string{header, "admin"}, good...)...)
			if got.Status != 200 || len(got.Header[header]) != 1 || got.Header.Get(header) == "admin" {
				t.Errorf("%s: %s of the client is answered %d %v", d.name, header, got.Status, got.Header[header])
			}
		}
		for _, path := range []string{
			"/a//b", "/a/../b", "/a/./b", "/..", "/a/", "/a;b", "/a%2Fb", "/a%2fb", "/%2e%2e/b", "/a%5Cb", "/a%00b", "/a%0Ab", "/a%7Fb", "/a%2500b",
			"/a%61", "/a%C0%AFb", "/a%80", "/a%3Fb", "/a%23b", "/a%3Bb", "/a%25b", "//a", "/a/%2E",
		} {
			refused(path, d.ask(t, w, "GET", path, good...))
		}
		if d.name != "envoy" { // these cannot stand in the target of a request
			for _, target := range []string{"/a%zz", "/a%", "/a%u002e", `/a\b`, "/a b", "/a#b", "/\xc3\xa4", "a", "", "http://x/a", "*", "/a\tb"} {
				refused(target, d.ask(t, w, "GET", target, good...))
			}
			for _, method := range []string{"", "get", "GET POST", "G-T", strings.Repeat("A", 33)} {
				refused("method "+method, d.ask(t, w, method, "/a", good...))
			}
		}
		for _, header := range []string{"X-Original-Method", "X-Forwarded-Method", "X-Original-Uri", "X-Forwarded-Uri"} {
			refused("another "+header, d.ask(t, w, "GET", "/a", append([]string{header, "/other"}, good...)...))
		}
		for header, same := range map[string]string{"X-Original-Method": "GET", "X-Forwarded-Method": "GET", "X-Original-Uri": "/a", "X-Forwarded-Uri": "/a", "Private-Token": reader.Bearer} {
			for _, alias := range aliases(header) {
				refused(alias, d.ask(t, w, "GET", "/a", append([]string{alias, same}, good...)...))
			}
		}
		for _, header := range []string{"X-HTTP-Method-Override", "X_HTTP_Method_Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL"} {
			refused(header, d.ask(t, w, "GET", "/a", append([]string{header, "DELETE"}, good...)...))
		}
		other := newToken(t, w, reader.ID, "second", "2026-09-01", "api").Token
		refused("two credentials", d.ask(t, w, "GET", "/a", "Private-Token", reader.Bearer, "Authorization", "Bearer "+other))
		refused("one twice", d.ask(t, w, "GET", "/a", "Private-Token", reader.Bearer, "Private-Token", other))
		refused("another in the query", d.ask(t, w, "GET", "/a?private_token="+other, good...))
		if got := d.ask(t, w, "GET", "/a?private_token="+reader.Bearer, "Private-Token", reader.Bearer, "Authorization", "Bearer "+reader.Bearer); got.Status != 200 {
			t.Errorf("%s, the same credential thrice: %d %s", d.name, got.Status, got.Body)
		}
		for _, authorization := range []string{"Bearer", "Bearer ", "Basic", "Basic !", "Digest x", reader.Bearer, "Token " + reader.Bearer} {
			if got := d.ask(t, w, "GET", "/a", "Authorization", authorization); got.Status != 401 || got.Header.Get("X-Auth-Reason") != "token_missing" {
				t.Errorf("%s, %q: %d %v", d.name, authorization, got.Status, got.Header)
			}
		}
	}
	// A target that a chain of proxies describes alike.
	if got := asks(t, w, "GET", "/auth/nginx", append([]string{"X-Original-Method", "GET", "X-Original-URI", "/a?b", "X-Forwarded-Method", "GET", "X-Forwarded-Uri", "/a?b", "X-Original-URL", "https://x/a?b"}, good...)...); got.Status != 200 {
		t.Errorf("the same request twice: %d %v", got.Status, got.Header)
	}
	for _, path := range []string{
		"/auth", "/auth/", "/auth/apache", "/auth/nginx/", "/auth/nginx/other", "/auth/nginx/api/x", "/auth/NGINX", "/auth/%6eginx", "/auth/envoy", "/auth/envoy/", "/auth/envoy/other/a",
		"/auth//nginx", "/auth/traefik/api/", "/auth/nginx;/api",
	} {
		got := rawAsk(t, w, "GET", path, append([]string{"X-Original-Method", "GET", "X-Original-URI", "/a", "X-Forwarded-Method", "GET", "X-Forwarded-Uri", "/a"}, good...)...)
		if got.Status != 404 {
			t.Errorf("%s is an address: %d %v", path, got.Status, got.Header)
		}
	}
}

// Breaks if somebody who forges a header gets past the networks of a token.
func TestForwardAuthTakesAddressesFromNamedProxiesOnly(t *testing.T) {
	t.Parallel()
	type told struct {
		sent   []string
		status int
	}
	for _, test := range []struct {
		proxies, header string
		told            []told
	}{
		{"", "", []told{{[]string{"X-Real-Ip", "192.0.2.7"}, 403}, {[]string{"X-Forwarded-For", "192.0.2.7"}, 403}}},
		{"203.0.113.0/24", "X-Real-Ip", []told{{[]string{"X-Real-Ip", "192.0.2.7"}, 403}}},
		{"127.0.0.0/8", "X-Real-Ip", []told{
			{[]string{"X-Real-Ip", "192.0.2.7"}, 200},
			{[]string{"X-Real-Ip", "198.51.100.1"}, 403},
			{[]string{"X-Real-Ip", "192.0.2.7, 198.51.100.1"}, 403}, // a proxy appends
			{[]string{"X-Real-Ip", "198.51.100.1", "X-Real-Ip", "192.0.2.7"}, 200},
			{[]string{"X-Real-Ip", ""}, 403},
			{[]string{"X-Real-Ip", "localhost"}, 403},
			{[]string{"X_Real_Ip", "192.0.2.7"}, 403},
			{nil, 403},
		}},
		{"127.0.0.0/8", "X-Forwarded-For", []told{
			{[]string{"X-Forwarded-For", "198.51.100.1, 192.0.2.7"}, 200},
			{[]string{"X-Forwarded-For", "192.0.2.7, 198.51.100.1"}, 403},
			{nil, 403},
		}},
	} {
		w := localtest.Start(t, localtest.Options{Parameters: map[string]string{"ProxyAddresses": test.proxies, "ClientAddressHeader": test.header}})
		ada := newAccount(t, w, "ada")
		var made personalToken
		decode(t, want(t, w, ada.Bearer, "POST", "/api/v4/user/personal_access_tokens",
			`{"name":"restricted","scopes":["api"],"allowed_cidrs":["192.0.2.0/24"]}`, http.StatusCreated), &made)
		for _, d := range dialects {
			for _, told := range test.told {
				got := d.ask(t, w, "GET", "/a", append([]string{"Private-Token", made.Token}, told.sent...)...)
				if got.Status != told.status || told.status == 403 && got.Header.Get("X-Auth-Reason") != "address_not_allowed" {
					t.Errorf("%s, from %q by %q with %v: %d %v", d.name, test.proxies, test.header, told.sent, got.Status, got.Header)
				}
			}
			if got := d.ask(t, w, "GET", "/a", "Private-Token", ada.Bearer); got.Status != 200 {
				t.Errorf("%s: a token without networks: %d", d.name, got.Status)
			}
		}
	}
}

// Breaks if an outage lets requests pass, or if nginx gets a status that it turns into a 500.
func TestForwardAuthFailsClosed(t *testing.T) {
	t.Parallel()
	w, proxy := proxied(t, localtest.Options{})
	server := newAccount(t, w, "server", "introspect")
	proxy.Fail(storetest.Always(storetest.Refuse("ThrottlingException", "slow down")))
	for _, d := range dialects {
		status := http.StatusServiceUnavailable
		if d.name == "nginx" {
			status = http.StatusForbidden
		}
		got := d.ask(t, w, "GET", "/a", "Private-Token", root.Bearer)
		if got.Status != status || got.Header.Get("X-Auth-Reason") != "undecided" || got.Header.Get("Retry-After") == "" || got.Header["X-Auth-User"] != nil {
			t.Errorf("%s: %d %v", d.name, got.Status, got.Header)
		}
	}
	if got := introspects(t, w, server.Bearer, url.Values{"token": {root.Bearer}}); got.Status != http.StatusServiceUnavailable || strings.Contains(got.Body, "active") {
		t.Errorf("introspection: %d %s", got.Status, got.Body)
	}
}

// Breaks if whoever asks can try values without end, or if a good token is refused for it.
func TestForwardAuthAndIntrospectionAreLimited(t *testing.T) {
	t.Parallel()
	w := localtest.Start(t, localtest.Options{Parameters: map[string]string{"WrongBearersPerMinute": "2", "ProxyAddresses": "127.0.0.1", "ClientAddressHeader": "X-Real-Ip"}})
	server := newAccount(t, w, "server", "introspect")
	for _, d := range dialects {
		var statuses []int
		from := "192.0.2." + fmt.Sprint(len(d.name)+int(d.name[0]))
		for range 3 {
			got := d.ask(t, w, "GET", "/a", "Private-Token", "no-such-token-anywhere", "X-Real-Ip", from)
			statuses = append(statuses, got.Status)
			if len(statuses) == 3 && (got.Header.Get("X-Auth-Reason") != "throttled" || got.Header.Get("Retry-After") != "30") {
				t.Errorf("%s: %v", d.name, got.Header)
			}
		}
		want := []int{401, 401, 429}
		if d.name == "nginx" {
			want[2] = 403
		}
		if !slices.Equal(statuses, want) {
			t.Errorf("%s: %v, want %v", d.name, statuses, want)
		}
		if got := d.ask(t, w, "GET", "/a", "Private-Token", root.Bearer, "X-Real-Ip", from); got.Status != 200 {
			t.Errorf("%s: a good token is answered %d", d.name, got.Status)
		}
	}
	for i, want := range []int{200, 200, 429} {
		if got := introspects(t, w, server.Bearer, url.Values{"token": {"no-such-token-anywhere"}}); got.Status != want {
			t.Errorf("introspection %d: %d %s", i, got.Status, got.Body)
		}
	}
	if got := introspects(t, w, server.Bearer, url.Values{"token": {root.Bearer}}); got.Status != 200 || !strings.Contains(got.Body, `"active":true`) {
		t.Errorf("a good token: %d %s", got.Status, got.Body)
	}
}
