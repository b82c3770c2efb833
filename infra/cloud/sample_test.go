package cloud

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// An API of the operator's own in the place of the sample API. If this fails, somebody who tries the
// authorizer here builds on what it would not do in AWS, or on a caller that is made up.
func TestBackendBehindTheAuthorizer(t *testing.T) {
	type seen struct {
		method, path, query, body string
		header                    http.Header
	}
	var got *seen
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = &seen{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, string(body), r.Header}
		w.Header().Set("X-Own", "yes")
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "from the backend")
	}))
	defer backend.Close()
	allow := func(method string) handler {
		return answering(policy(statement("Allow", "arn:aws:execute-api:*:*:sample/prod/"+method+"/*")))
	}
	sample := func(t *testing.T, address string, authorizer handler) http.Handler {
		t.Helper()
		target, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		handler, err := Sample(&Authorizer{Kind: RequestAuthorizer, Handler: authorizer}, target)
		if err != nil {
			t.Fatal(err)
		}
		return handler
	}
	for _, test := range []struct {
		name, base, method, target, body string
		want                             seen
	}{
		{"a path is the backend's own", "", "GET", "/sample/orders/1", "", seen{method: "GET", path: "/orders/1"}},
		{"a query and a body go along", "", "POST", "/sample/orders?a=1&b=%20", "text", seen{"POST", "/orders", "a=1&b=%20", "text", nil}},
		{"an encoded slash stays one", "", "GET", "/sample/a%2Fb", "", seen{method: "GET", path: "/a%2Fb"}},
		{"the root", "", "GET", "/sample/", "", seen{method: "GET", path: "/"}},
		{"a backend with a path", "/v2", "GET", "/sample/orders", "", seen{method: "GET", path: "/v2/orders"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got = nil
			reply := send(t, sample(t, backend.URL+test.base, allow("*")), test.method, test.target, test.body, nil)
			if reply.status != http.StatusTeapot || reply.body != "from the backend" || reply.header.Get("X-Own") != "yes" {
				t.Errorf("answered %d %s", reply.status, reply.body)
			}
			if got == nil || got.method != test.want.method || got.path != test.want.path || got.query != test.want.query || got.body != test.want.body {
				t.Errorf("the backend got %+v, want %+v", got, test.want)
			}
		})
	}
	t.Run("the caller is the authorizer's, whatever the client says", func(t *testing.T) {
		got = nil
		send(t, sample(t, backend.URL, allow("*")), "GET", "/sample/orders", "", http.Header{
			"X-Latchkey-User-Id": {"1"}, "X_latchkey_user_id": {"1"}, "x-Latchkey-Scopes": {"api"}, "X-Own": {"kept"},
		})
		told := map[string]string{}
		for name := range got.header {
			if strings.HasPrefix(strings.ToLower(name), "x") && strings.Contains(strings.ToLower(name), "latchkey") {
				told[name] = strings.Join(got.header[name], ",")
			}
		}
		if len(told) != 3 || told["X-Latchkey-User-Id"] != "7" || told["X-Latchkey-Admin"] != "true" || told["X-Latchkey-N"] != "3" {
			t.Errorf("the backend is told %v", told)
		}
		if got.header.Get("X-Own") != "kept" {
			t.Error("a header of the client is gone")
		}
	})
	t.Run("a request that is refused does not reach it", func(t *testing.T) {
		got = nil
		reply := send(t, sample(t, backend.URL, allow("GET")), "DELETE", "/sample/orders/1", "", nil)
		if reply.status != http.StatusForbidden || reply.body != `{"Message":"User is not authorized to access this resource"}`+"\n" || got != nil {
			t.Errorf("answered %d %s, the backend got %+v", reply.status, reply.body, got)
		}
	})
	t.Run("a backend that is not there", func(t *testing.T) {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := "http://" + listener.Addr().String()
		listener.Close()
		reply := send(t, sample(t, address, allow("*")), "GET", "/sample/orders", "", nil)
		if reply.status != http.StatusGatewayTimeout || reply.body != `{"message":"Network error communicating with endpoint"}`+"\n" {
			t.Errorf("answered %d %s", reply.status, reply.body)
		}
	})
	t.Run("a backend that speaks something else is not quoted", func(t *testing.T) {
		echo, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer echo.Close()
		go func() {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			head := make([]byte, 512)
			n, _ := conn.Read(head)
			_, _ = conn.Write(head[:n])
		}()
		w := &statusWriter{ResponseWriter: httptest.NewRecorder()}
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/sample/orders?private_token=query-bearer", nil)
		sample(t, "http://"+echo.Addr().String(), allow("*")).ServeHTTP(w, r)
		if reason := attr(w.facts, "reason"); w.status != http.StatusGatewayTimeout || !strings.Contains(reason, "no HTTP reply") || strings.Contains(reason, "query-bearer") {
			t.Errorf("status %d, reason %q", w.status, reason)
		}
	})
}

// attr is the value of an attribute.
func attr(attrs []any, key string) string {
	for i := 0; i+1 < len(attrs); i += 2 {
		if attrs[i] == key {
			if text, ok := attrs[i+1].(string); ok {
				return text
			}
		}
	}
	return ""
}
