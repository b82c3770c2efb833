package cloud

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// behindTheDoor is a cloud whose functions and pages count what reaches them.
func behindTheDoor(t *testing.T, options Options) (c *Cloud, reached *atomic.Int32) {
	t.Helper()
	reached = &atomic.Int32{}
	options.Template = productTemplate(t)
	functions := map[string]handler{}
	for name := range options.Template.Functions {
		functions[name] = handlerFunc(func(context.Context, []byte) ([]byte, error) {
			reached.Add(1)
			return []byte(`{"statusCode":200}`), nil
		})
	}
	options.Functions = functions
	page := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	options.Pages = map[string]http.Handler{"/mailbox/": page, "/v2/email/": Signed(page)}
	c, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, reached
}

// ask sends a request to the cloud with these headers; Host is one of them.
func ask(t *testing.T, c *Cloud, method, path string, header http.Header) (status int, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.URL()+path, strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header.Clone()
	r.Host = header.Get("Host")
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(out)
}

// Breaks if a web page in the same browser can invoke functions, and with them make an administrator
// with a bearer of its choice.
func TestWebPagesOfOthersReachNothing(t *testing.T) {
	c, reached := behindTheDoor(t, Options{Hosts: []string{"latchkey", "app.test:3000", ""}}) // as of a list that ends with a comma
	own := strings.TrimPrefix(c.URL(), "http://")
	_, port, _ := net.SplitHostPort(own)
	const signature = "AWS4-HMAC-SHA256 Credential=any"
	for name, test := range map[string]struct {
		header  http.Header
		refused bool
	}{
		"a program":                              {http.Header{"Host": {own}}, false},
		"a program that says localhost":          {http.Header{"Host": {"localhost:" + port}}, false},
		"a program by IPv6":                      {http.Header{"Host": {"[::1]:" + port}}, false},
		"a program without a port":               {http.Header{"Host": {"127.0.0.1"}}, false},
		"a program by a name that was given":     {http.Header{"Host": {"latchkey:" + port}}, false},
		"a page of its own":                      {http.Header{"Host": {own}, "Origin": {"http://" + own}}, false},
		"a page of a host that was given":        {http.Header{"Host": {own}, "Origin": {"http://app.test:3000"}}, false},
		"a page of somebody else":                {http.Header{"Host": {own}, "Origin": {"https://evil.example"}}, true},
		"a page without a name":                  {http.Header{"Host": {own}, "Origin": {"null"}}, true},
		"a form of a page of its own":            {http.Header{"Host": {own}, "Origin": {"null"}, "Sec-Fetch-Site": {"same-origin"}}, false},
		"a form of a sandbox":                    {http.Header{"Host": {own}, "Origin": {"null"}, "Sec-Fetch-Site": {"cross-site"}}, true},
		"a form of a sibling":                    {http.Header{"Host": {own}, "Origin": {"null"}, "Sec-Fetch-Site": {"same-site"}}, true},
		"a form that says two things":            {http.Header{"Host": {own}, "Origin": {"null"}, "Sec-Fetch-Site": {"same-origin", "cross-site"}}, true},
		"a page of somebody else as ours":        {http.Header{"Host": {own}, "Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"same-origin"}}, true},
		"a page of another port":                 {http.Header{"Host": {own}, "Origin": {"http://127.0.0.1:3000"}}, true},
		"a page of another scheme":               {http.Header{"Host": {own}, "Origin": {"https://" + own}}, true},
		"a page with two origins":                {http.Header{"Host": {own}, "Origin": {"http://" + own, "https://evil.example"}}, true},
		"a page whose name turns into 127.0.0.1": {http.Header{"Host": {"evil.example:" + port}}, true},
		"the same, and it agrees with itself":    {http.Header{"Host": {"evil.example"}, "Origin": {"http://evil.example"}}, true},
		"a name that begins like ours":           {http.Header{"Host": {"localhost.evil.example"}}, true},
		"an address of another machine":          {http.Header{"Host": {"192.0.2.1"}}, true},
		"the address of all":                     {http.Header{"Host": {"0.0.0.0:" + port}}, true},
	} {
		for path, method := range map[string]string{
			InvokePath + "issue/invocations": "POST", "/v2/email/outbound-emails": "POST", "/mailbox/": "GET",
			"/api/v4/user": "GET", SamplePath + "orders": "GET",
		} {
			t.Run(name+" at "+path, func(t *testing.T) {
				test.header.Set("Authorization", signature)
				// The API is for pages of every origin, but not under every name.
				want := test.refused && (path != "/api/v4/user" || test.header.Get("Host") != own)
				before := reached.Load()
				status, body := ask(t, c, method, path, test.header)
				if refused := status == http.StatusForbidden && strings.Contains(body, "of th") || strings.Contains(body, "another Origin"); refused != want || (reached.Load() == before) != want {
					t.Errorf("%d %s, %d reached", status, body, reached.Load()-before)
				}
			})
		}
	}
}

// A browser sends no such header for a page without asking first. Breaks if a form can invoke functions.
func TestServicesOfAWSAskForASignature(t *testing.T) {
	c, reached := behindTheDoor(t, Options{})
	own := strings.TrimPrefix(c.URL(), "http://")
	for _, path := range []string{InvokePath + "issue/invocations", "/v2/email/outbound-emails"} {
		for name, values := range map[string][]string{
			"none": nil, "a bearer": {"Bearer AWS4-HMAC-SHA256 x"}, "two": {"AWS4-HMAC-SHA256 x", "AWS4-HMAC-SHA256 y"}, "a name alone": {"AWS4-HMAC-SHA256"},
		} {
			t.Run(name+" at "+path, func(t *testing.T) {
				header := http.Header{"Host": {own}, "Content-Type": {"text/plain"}}
				if values != nil {
					header["Authorization"] = values
				}
				status, body := ask(t, c, "POST", path, header)
				if status != http.StatusForbidden || !strings.Contains(body, "Missing Authentication Token") {
					t.Errorf("%d %s", status, body)
				}
			})
		}
		if status, body := ask(t, c, "OPTIONS", path, http.Header{"Host": {own}, "Access-Control-Request-Headers": {"authorization"}}); status < 400 {
			t.Errorf("agrees to a page's request: %d %s", status, body)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("%d were reached", n)
	}
}

// An elsewhere says that it listens beyond this machine.
type elsewhere struct{ net.Listener }

func (elsewhere) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 8080} }

// Breaks if everybody on the network can make an administrator of whoever runs the cloud.
func TestNoListenerBeyondThisMachineWithoutAWord(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	template := productTemplate(t)
	functions := map[string]handler{}
	for name := range template.Functions {
		functions[name] = answering(`{}`)
	}
	if c, err := Start(t.Context(), Options{Template: template, Functions: functions, Listener: elsewhere{listener}}); !errors.Is(err, errOpen) {
		if err == nil {
			_ = c.Close()
		}
		t.Errorf("err = %v", err)
	}
	for host, admitted := range map[string]bool{"latchkey:8080": true, "192.0.2.9:8080": true, "localhost": true, "evil.example": false, "": false} {
		reached := false
		d := door{[]string{"latchkey"}, true, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })}
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/mailbox/", nil)
		r.Host = host
		if d.ServeHTTP(httptest.NewRecorder(), r); reached != admitted {
			t.Errorf("%q reaches it: %t", host, reached)
		}
	}
}
