//go:build acceptance

package proxies_test

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/infra/local/localtest"
	"latchkey/infra/proxies"
	"latchkey/pkg/scope/scopetest"
)

// rules open /orders to the token of the corpus, and /admin to nobody.
const rules = `{
  "scopes": [{"name": "orders:read", "description": "Look at orders."}, {"name": "orders:write", "description": "Change orders."}],
  "rules": [
    {"methods": ["GET", "HEAD"], "path": "/orders", "scopes": ["orders:read"]},
    {"methods": ["GET", "HEAD"], "path": "/orders/*", "scopes": ["orders:read"]},
    {"methods": ["POST", "PUT"], "path": "/orders/*", "scopes": ["orders:write"]}
  ]
}`

// newLatchkey starts Latchkey with these rules and returns it with a bearer that they open /orders to. Its proxies
// call from 127.0.0.1 and put the client's address into the header called address.
func newLatchkey(t *testing.T, address string) (*localtest.World, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "scopes.json")
	check(t, os.WriteFile(file, []byte(rules), 0o600))
	w := localtest.Start(t, localtest.Options{Parameters: map[string]string{
		"ScopesFile": file, "ProxyAddresses": "127.0.0.1", "ClientAddressHeader": address,
	}})
	return w, newToken(t, w, `"scopes":["orders:read"]`)
}

func newToken(t *testing.T, w *localtest.World, parameters string) string {
	t.Helper()
	got := w.Do(t, localtest.AdminBearer, http.MethodPost, "/api/v4/users/1/personal_access_tokens", `{"name":"corpus",`+parameters+`}`)
	_, value, found := strings.Cut(got.Body, `"token":"`)
	value, _, _ = strings.Cut(value, `"`)
	if !found {
		t.Fatalf("no token: %d %s", got.Status, got.Body)
	}
	w.Logs.Secret(value)
	return value
}

// A line is a keep-alive connection to a proxy on which requests are written byte by byte.
type line struct {
	address string
	conn    net.Conn
	read    *bufio.Reader
}

func (l *line) close() {
	if l.conn != nil {
		l.conn.Close()
		l.conn = nil
	}
}

// send writes a request and reads the answer. No answer counts as status 0.
func (l *line) send(t *testing.T, raw string) reply {
	t.Helper()
	if l.conn == nil {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", l.address)
		check(t, err)
		l.conn, l.read = conn, bufio.NewReader(conn)
	}
	check(t, l.conn.SetDeadline(time.Now().Add(15*time.Minute)))
	_, err := io.WriteString(l.conn, raw)
	if err == nil {
		var response *http.Response
		if response, err = http.ReadResponse(l.read, &http.Request{Method: http.MethodGet}); err == nil {
			var body []byte
			body, err = io.ReadAll(response.Body)
			response.Body.Close()
			if response.Close || response.StatusCode == http.StatusBadRequest || err != nil {
				l.close() // a proxy that found a request malformed does not go on
			}
			return reply{response.StatusCode, response.Header, string(body)}
		}
	}
	l.close()
	return reply{}
}

// An outcome is what became of a request.
type outcome struct {
	reply
	served *http.Request // what the backend got, if it got something
	// judged is the request that Latchkey judged, and said its answer, if it was asked.
	judgedMethod, judgedTarget string
	said                       *reply
}

// try sends a request with a line more to the proxy, and returns what became of it. It fails the test if that breaks
// what every request must keep to.
func (p *place) try(t *testing.T, l *line, program proxies.Program, target string, forged forgery, bearer string) outcome {
	t.Helper()
	raw := "GET " + target + " HTTP/1.1\r\nHost: orders.example.test\r\n"
	if forged.line != "" {
		raw += forged.line + "\r\n"
	}
	if bearer != "" {
		raw += "PRIVATE-TOKEN: " + bearer + "\r\n"
	}
	o := outcome{reply: l.send(t, raw+"\r\n")}
	served, asked, said := p.take()
	fail := func(format string, args ...any) {
		t.Errorf("%s, GET %.100s with %q: %s", program.Name, target, forged.line, fmt.Sprintf(format, args...))
	}
	if len(served) > 1 || len(asked) > 1 {
		fail("served %d times, asked %d times", len(served), len(asked))
	}
	if len(asked) == 1 {
		o.judgedMethod, o.judgedTarget = judged(program, asked[0])
		o.said = &said[0]
	}
	if len(served) == 0 {
		if o.status/100 == 2 || o.status >= http.StatusInternalServerError {
			fail("not served, and the client gets %d", o.status)
		}
		return o
	}
	o.served = served[0]
	switch {
	case o.said == nil || o.said.status != http.StatusOK:
		fail("served, and Latchkey did not let it pass")
		return o
	case o.status != http.StatusOK:
		fail("served, and the client gets %d", o.status)
	case o.served.RequestURI != o.judgedTarget || o.served.Method != o.judgedMethod:
		fail("judged %s %s, served %s %s", o.judgedMethod, o.judgedTarget, o.served.Method, o.served.RequestURI)
	}
	path, _, _ := strings.Cut(o.served.RequestURI, "?")
	for name, read := range scopetest.Readers {
		if got := read(path); got != "/orders" && !strings.HasPrefix(got, "/orders/") {
			fail("served %s, and a backend that %s takes it for %s", path, name, got)
		}
	}
	o.onlyOurs(fail)
	return o
}

// judged returns the method and target that the proxy asked about.
func judged(program proxies.Program, question *http.Request) (method, target string) {
	switch program.Name {
	case proxies.Nginx.Name:
		return question.Header.Get("X-Original-Method"), question.Header.Get("X-Original-URI")
	case proxies.Envoy.Name:
		return question.Method, strings.TrimPrefix(question.RequestURI, "/auth/envoy/api")
	default:
		return question.Header.Get("X-Forwarded-Method"), question.Header.Get("X-Forwarded-Uri")
	}
}

// steering are the folded headers by which some backends take a request for another one.
var steering = regexp.MustCompile(`^x-(http-method|method-override|http-method-override|rewrite-url|original-(url|uri|method)|forwarded-(uri|method))$`)

// onlyOurs fails unless the backend got from Latchkey what it knows about the caller, and nothing that it could take
// for that or for another request from the client.
func (o outcome) onlyOurs(fail func(string, ...any)) {
	for _, name := range identity {
		got, want := o.served.Header.Values(name), o.said.header.Get(name)
		if cmp.Or(got...) != want || len(got) > 1 {
			fail("%s at the backend is %q, and Latchkey said %q", name, got, want)
		}
	}
	for name, values := range o.served.Header {
		folded := fold(name)
		ours := slices.ContainsFunc(identity, func(i string) bool { return fold(i) == folded })
		switch {
		case ours && !slices.Contains(identity, name):
			fail("the backend got %s: %q", name, values)
		case slices.Contains([]string{"x-original-uri", "x-forwarded-uri"}, folded) && slices.Equal(values, []string{o.served.RequestURI}),
			slices.Contains([]string{"x-original-method", "x-forwarded-method"}, folded) && slices.Equal(values, []string{o.served.Method}):
		case steering.MatchString(folded):
			fail("the backend got %s: %q", name, values)
		case slices.Contains([]string{"private-token", "authorization"}, folded):
			fail("the backend got the bearer, in %s", name)
		}
	}
}

// fold returns a header's name as CGI, WSGI and PHP read it.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
}

// TestCorpus sends every forgery with every target through every proxy. What the backend serves is what Latchkey judged,
// and the backend knows the caller from Latchkey only. If it fails, a client can pass for somebody else, or past a rule.
// What the single forgeries and targets come to is the table of docs/proxies.md.
func TestCorpus(t *testing.T) {
	t.Parallel()
	forged := forgeries()
	if len(forged) < 60 || len(targets) < 40 {
		t.Fatalf("the corpus has %d forgeries and %d targets", len(forged), len(targets))
	}
	w, bearer := newLatchkey(t, "X-Real-Ip")
	found := findings{}
	t.Run("every proxy", func(t *testing.T) {
		for _, program := range proxies.All() {
			c := found.column(t, program)
			t.Run(program.Name, func(t *testing.T) {
				t.Parallel()
				p := newPlace(t, program, "api", w.URL)
				l := &line{address: strings.TrimPrefix(p.proxy.URL, "http://")}
				defer l.close()
				if o := p.try(t, l, program, targets[0], forgery{}, bearer); o.served == nil {
					t.Fatalf("the plain request is not served: %d %s", o.status, o.body)
				}
				for _, target := range targets {
					c.add("target", target, pathWord(target, p.try(t, l, program, target, forgery{}, bearer)))
				}
				for _, f := range forged {
					c.add("forgery", f.group, headerWord(f, p.try(t, l, program, targets[0], f, bearer)))
					for _, target := range targets[1:] {
						p.try(t, l, program, target, f, bearer)
					}
					for _, value := range []string{"", "lkpat_wrong"} {
						if o := p.try(t, l, program, targets[0], f, value); o.served != nil {
							t.Errorf("served with the bearer %q", value)
						}
					}
				}
			})
		}
	})
	if !t.Failed() {
		found.compare(t, forged)
	}
}

// pathWord says what became of a target.
func pathWord(target string, o outcome) string {
	switch {
	case o.served != nil && o.served.RequestURI == target:
		return "served"
	case o.served != nil:
		return "served as " + code(o.served.RequestURI)
	case o.said != nil:
		return strconv.Itoa(o.status) + " " + code(o.said.header.Get("X-Auth-Reason"))
	case o.status == 0:
		return "closed by the proxy"
	}
	return strconv.Itoa(o.status) + " by the proxy"
}

// headerWord says what became of a forged line.
func headerWord(f forgery, o outcome) string {
	if o.served == nil {
		return pathWord("", o)
	}
	_, value, _ := strings.Cut(f.line, ":")
	got := o.served.Header[http.CanonicalHeaderKey(f.name())]
	switch {
	case slices.Contains(identity, http.CanonicalHeaderKey(f.name())):
		return "replaced"
	case len(got) == 0:
		return "dropped"
	case got[0] == strings.TrimSpace(value):
		return "passed on"
	}
	return "replaced"
}

func code(text string) string {
	if len(text) > 60 {
		text = text[:20] + "…"
	}
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}
