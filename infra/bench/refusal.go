package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"

	"latchkey/pkg/clock"
	"latchkey/pkg/config"
	"latchkey/pkg/gitlabapi"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/telemetry"
	"latchkey/pkg/throttle"
	"latchkey/pkg/verify"
)

// refusals measures the cost of the reply to an unknown bearer, from the moment that the refusal is
// counted to the last byte written.
func refusals(ctx context.Context, r *report) error {
	var m meter
	pepper, err := secret.NewPepper(strings.Repeat("pepper", 8))
	if err != nil {
		return err
	}
	verifier, err := verify.New(verify.Parts{
		Store: memory{}, Pepper: pepper, Format: secret.Format{Prefixes: config.DefaultPrefixes}, Scopes: scope.GitLab(), Clock: clock.System{}, Kept: &verify.Kept{},
	})
	if err != nil {
		return err
	}
	api := gitlabapi.Tokens(&gitlabapi.API{
		Log: telemetry.NewLogger(io.Discard, "tokens"), Clock: clock.System{}, PublicURL: "https://tokens.example.test",
		Count:     func(string, string) { runtime.ReadMemStats(&m.before) },
		Throttles: throttle.Unlimited(), Verifier: verifier,
	}, nil, nil)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // keeps other goroutines from allocating meanwhile
	const runs = 1000
	for n := range runs + 1 {
		request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v4/personal_access_tokens/self", http.NoBody)
		request.Header.Set("PRIVATE-TOKEN", config.DefaultPrefixes[0]+strings.Repeat("0", 36))
		m.header = http.Header{}
		api.ServeHTTP(&m, request)
		if m.status != http.StatusUnauthorized {
			return fmt.Errorf("an unknown bearer is answered %d", m.status)
		}
		if n > 0 { // the first one warms up
			m.allocs += m.after.Mallocs - m.before.Mallocs
			m.bytes += m.after.TotalAlloc - m.before.TotalAlloc
		}
	}
	r.atMost("refusal_reply_allocs", float64(m.allocs)/runs, 20)
	r.atMost("refusal_reply_bytes", float64(m.bytes)/runs, 2048)
	return nil
}

// A meter is the client of refusals. It discards replies.
type meter struct {
	header        http.Header
	status        int
	before, after runtime.MemStats
	allocs, bytes uint64
}

func (m *meter) Header() http.Header { return m.header }

func (m *meter) WriteHeader(status int) { m.status = status }

func (m *meter) Write(body []byte) (int, error) {
	runtime.ReadMemStats(&m.after)
	return len(body), nil
}
