package cloud

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestInvokeAPI(t *testing.T) {
	ran := make(chan string, 1)
	api := &InvokeAPI{Functions: map[string]handler{
		"echo": handlerFunc(func(_ context.Context, payload []byte) ([]byte, error) {
			select {
			case ran <- string(payload):
			default:
			}
			return payload, nil
		}),
		"fails":  handlerFunc(func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no table") }),
		"panics": handlerFunc(func(context.Context, []byte) ([]byte, error) { panic("oops") }),
	}}
	const plain = InvokePath + "echo/invocations"
	for name, test := range map[string]struct {
		method, path, kind, payload string
		status                      int
		body                        string
		header                      map[string]string
	}{
		"plain name":        {"POST", plain, "", `{"a":1}`, 200, `{"a":1}`, map[string]string{"X-Amz-Executed-Version": "$LATEST", "X-Amz-Function-Error": ""}},
		"no payload":        {"POST", plain, "RequestResponse", "", 200, `{}`, nil},
		"ARN":               {"POST", InvokePath + "arn:aws:lambda:eu-central-1:000000000000:function:echo/invocations", "", "1", 200, "1", nil},
		"qualified ARN":     {"POST", InvokePath + "arn:aws:lambda:eu-central-1:000000000000:function:echo:live/invocations", "", "1", 200, "1", nil},
		"qualified name":    {"POST", InvokePath + "echo:live/invocations", "", "1", 200, "1", nil},
		"partial ARN":       {"POST", InvokePath + "000000000000:function:echo/invocations", "", "1", 200, "1", nil},
		"escaped ARN":       {"POST", InvokePath + "arn%3Aaws%3Alambda%3Aeu-central-1%3A000000000000%3Afunction%3Aecho/invocations", "", "1", 200, "1", nil},
		"dry run":           {"POST", plain, "DryRun", "1", 204, "", nil},
		"event":             {"POST", plain, "Event", `"later"`, 202, "", nil},
		"unknown kind":      {"POST", plain, "Never", "1", 400, "", map[string]string{"X-Amzn-Errortype": "InvalidParameterValueException"}},
		"function fails":    {"POST", InvokePath + "fails/invocations", "", "1", 200, `{"errorMessage":"no table","errorType":"errorString"}`, map[string]string{"X-Amz-Function-Error": "Unhandled"}},
		"function panics":   {"POST", InvokePath + "panics/invocations", "", "1", 200, `{"errorMessage":"oops","errorType":"panic"}`, map[string]string{"X-Amz-Function-Error": "Unhandled"}},
		"unknown function":  {"POST", InvokePath + "none/invocations", "", "1", 404, "", map[string]string{"X-Amzn-Errortype": "ResourceNotFoundException"}},
		"not JSON":          {"POST", plain, "", "{", 400, "", map[string]string{"X-Amzn-Errortype": "InvalidRequestContentException"}},
		"too large":         {"POST", plain, "", strings.Repeat(" ", payloadLimit+1), 413, "", map[string]string{"X-Amzn-Errortype": "RequestTooLargeException"}},
		"not an invocation": {"GET", plain, "", "", 404, "", map[string]string{"X-Amzn-Errortype": "UnknownOperationException"}},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			if test.kind != "" {
				header.Set("X-Amz-Invocation-Type", test.kind)
			}
			path := strings.ReplaceAll(test.path, "%3A", ":") // what net/http has decoded
			got := send(t, api, test.method, path, test.payload, header)
			if got.status != test.status || test.body != "" && got.body != test.body {
				t.Errorf("%d %s, want %d %s", got.status, got.body, test.status, test.body)
			}
			for name, want := range test.header {
				if value := got.header.Get(name); value != want {
					t.Errorf("%s = %q, want %q", name, value, want)
				}
			}
		})
	}
	api.Wait()
}

func TestCloud(t *testing.T) {
	template := productTemplate(t)
	functions := map[string]handler{}
	for name := range template.Functions {
		functions[name] = answering(`{"statusCode":200,"body":"` + name + `"}`)
	}
	functions[AuthorizerFunction] = answering(policy(statement("Allow", "arn:aws:execute-api:*:*:sample/prod/GET/*")))
	var log bytes.Buffer
	c, err := Start(t.Context(), Options{
		Template: template, Functions: functions, RequestLog: slog.New(slog.NewJSONHandler(&log, nil)),
		Pages: map[string]http.Handler{"/mailbox/": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "mails") })},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/api/v4/user?private_token=query-bearer", 200, "directory"},
		{"GET", "/api/v4//features//x", 200, "settings"},
		{"GET", "/sample/projects/a%2Fb", 200, `"path":"/projects/a%2Fb"`},
		{"GET", "/sample/x", 200, `"user_id":"7"`},
		{"POST", "/sample/x", 403, "not authorized"},
		{"GET", "/mailbox/1", 200, "mails"},
		{"POST", InvokePath + "issue/invocations", 200, "statusCode"},
		{"HEAD", "/api/v4/user", 200, ""},
	} {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), test.method, c.URL()+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(test.path, InvokePath) {
				r.Header.Set("Authorization", "AWS4-HMAC-SHA256 local")
			}
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != test.status || !strings.Contains(string(body), test.body) {
				t.Errorf("%d %s, want %d %s", res.StatusCode, body, test.status, test.body)
			}
			if test.method == "HEAD" && len(body) > 0 {
				t.Errorf("HEAD has a body: %s", body)
			}
		})
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	t.Run("the request log has no query", func(t *testing.T) {
		if strings.Contains(log.String(), "query-bearer") || strings.Count(log.String(), "\n") != 8 {
			t.Errorf("log:\n%s", log.String())
		}
	})
	t.Run("the request log says who was let pass, and why the gateway refused", func(t *testing.T) {
		for _, line := range []string{
			`"path":"/sample/x","status":200,.*"owner":"7"}`,
			`"method":"POST","path":"/sample/x","status":403,.*"owner":"7","reason":"ACCESS_DENIED: User is not authorized to access this resource"}`,
		} {
			if !regexp.MustCompile(line).MatchString(log.String()) {
				t.Errorf("no line %s in\n%s", line, log.String())
			}
		}
	})
	t.Run("a function without handler is an error", func(t *testing.T) {
		if _, err := Start(t.Context(), Options{Template: template}); err == nil {
			t.Error("no error")
		}
	})
}

func TestCloseWaitsForRequestsInFlight(t *testing.T) {
	template := productTemplate(t)
	started, release := make(chan struct{}), make(chan struct{})
	functions := map[string]handler{}
	for name := range template.Functions {
		functions[name] = handlerFunc(func(context.Context, []byte) ([]byte, error) {
			close(started)
			<-release
			return []byte(`{"statusCode":200,"body":"finished"}`), nil
		})
	}
	c, err := Start(t.Context(), Options{Template: template, Functions: functions})
	if err != nil {
		t.Fatal(err)
	}
	reply := make(chan string, 1)
	go func() {
		res, err := http.Get(c.URL() + "/api/v4/user")
		if err != nil {
			reply <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		reply <- string(body)
	}()
	<-started
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	time.AfterFunc(20*time.Millisecond, func() { close(release) })
	if got := <-reply; got != "finished" {
		t.Errorf("reply = %q", got)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

// Browsers keep a connection in hand that has carried nothing yet. If this
// fails, Ctrl-C takes five seconds and ends with an error.
func TestCloseDoesNotWaitForConnectionsWithoutARequest(t *testing.T) {
	template := productTemplate(t)
	functions := map[string]handler{}
	for name := range template.Functions {
		functions[name] = handlerFunc(func(context.Context, []byte) ([]byte, error) { return []byte(`{"statusCode":200}`), nil })
	}
	c, err := Start(t.Context(), Options{Template: template, Functions: functions})
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(c.URL(), "http://")
	silent, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	// A request on another connection, so that the first one has been accepted.
	res, err := http.Get(c.URL() + "/api/v4/version")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
