package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"

	"latchkey/infra/proxies"
	"latchkey/pkg/apigateway/proxy"
)

// behindNginx measures a request through nginx that Latchkey lets pass against the same with an authorization server
// that makes the bare SDK reads and answers 200.
func behindNginx(ctx context.Context, r *report, latchkey proxy.Handler, bearer string, reads func() error) error {
	full, err := startNginx(ctx, func(w http.ResponseWriter, question *http.Request) {
		question.Header.Set("X-Real-Ip", address) // one of the token's networks
		latchkey(w, question, proxy.Origin{Path: question.URL.Path, Address: netip.MustParseAddr("203.0.113.9")})
	})
	if err != nil {
		return err
	}
	defer full.stop()
	bare, err := startNginx(ctx, func(w http.ResponseWriter, _ *http.Request) {
		if reads() != nil {
			w.WriteHeader(http.StatusForbidden)
		}
	})
	if err != nil {
		return err
	}
	defer bare.stop()
	idle, err := startNginx(ctx, func(http.ResponseWriter, *http.Request) {})
	if err != nil {
		return err
	}
	defer idle.stop()
	const turns, calls = 40, 50
	samples, err := alternate(turns, calls,
		func() error { return full.serves(ctx, bearer) },
		func() error { return bare.serves(ctx, bearer) },
		func() error { return idle.serves(ctx, bearer) },
	)
	if err != nil {
		return err
	}
	r.note("through nginx: p50 %v with Latchkey, %v with the bare reads, %v without any", samples[0].p50(), samples[1].p50(), samples[2].p50())
	r.atMost("nginx_forward_auth_p50_ratio", samples[0].against(samples[1], turn.wall), 1.25)
	return nil
}

// An nginx is the proxy with the sample for APIs, in front of a backend that answers "served".
type nginx struct {
	url  string
	ends []func()
}

func startNginx(ctx context.Context, authorizes http.HandlerFunc) (n *nginx, err error) {
	n = &nginx{}
	defer func() {
		if err != nil {
			n.stop()
		}
	}()
	folder, err := os.MkdirTemp("", "bench-nginx-")
	if err != nil {
		return nil, err
	}
	n.ends = append(n.ends, func() { _ = os.RemoveAll(folder) })
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") }))
	n.ends = append(n.ends, backend.Close)
	authorizer := httptest.NewServer(authorizes)
	n.ends = append(n.ends, authorizer.Close)
	front, err := proxies.NewFront(ctx, folder, authorizer.URL, nil)
	if err != nil {
		return nil, err
	}
	n.ends = append(n.ends, func() { _ = front.Close() })
	server, err := proxies.Start(ctx, proxies.Nginx, folder, "api", proxies.Place{
		Latchkey: front.Address, Authorities: front.Authorities, Backend: backend.Listener.Addr().String(),
	})
	if err != nil {
		return nil, err
	}
	n.ends, n.url = append(n.ends, server.Stop), server.URL
	return n, nil
}

// stop ends everything, the proxy first.
func (n *nginx) stop() {
	for i := len(n.ends) - 1; i >= 0; i-- {
		n.ends[i]()
	}
}

// serves sends a request that must be served.
func (n *nginx) serves(ctx context.Context, bearer string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+"/orders/42", nil)
	if err != nil {
		return err
	}
	request.Header.Set("PRIVATE-TOKEN", bearer)
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("through nginx: %s", response.Status)
	}
	return nil
}
