package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"

	"latchkey/infra/proxies"
	"latchkey/pkg/apigateway/proxy"
)

// behindNginx measures a request through nginx that Latchkey lets pass against the same through nginx with an
// authorization server that only answers 200, and the bare SDK reads. reads are those, and bearer is good.
func behindNginx(ctx context.Context, r *report, latchkey proxy.Handler, bearer string, reads func() error) (err error) {
	folder, err := os.MkdirTemp("", "bench-nginx-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") }))
	defer backend.Close()
	var contenders []func() error
	for name, answer := range map[string]http.HandlerFunc{
		"latchkey": func(w http.ResponseWriter, question *http.Request) {
			question.Header.Set("X-Real-Ip", address) // one of the token's networks
			latchkey(w, question, proxy.Origin{Path: question.URL.Path, Address: netip.MustParseAddr("203.0.113.9")})
		},
		"bare": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) },
	} {
		server := httptest.NewServer(answer)
		defer server.Close()
		place := folder + "/" + name
		if err := os.Mkdir(place, 0o700); err != nil {
			return err
		}
		front, err := proxies.NewFront(ctx, place, server.URL, nil)
		if err != nil {
			return err
		}
		defer front.Close()
		nginx, err := proxies.Start(ctx, proxies.Nginx, place, "api", proxies.Place{
			Latchkey: front.Address, Authorities: front.Authorities, Backend: backend.Listener.Addr().String(),
		})
		if err != nil {
			return err
		}
		defer nginx.Stop()
		contender := func() error { return served(ctx, nginx.URL+"/orders/42", bearer) }
		if name == "latchkey" {
			contenders = append([]func() error{contender}, contenders...)
		} else {
			contenders = append(contenders, contender)
		}
	}
	const turns, calls = 40, 50
	samples, err := alternate(turns, calls, append(contenders, reads)...)
	if err != nil {
		return err
	}
	full, bare, read := samples[0], samples[1], samples[2]
	r.note("through nginx: p50 %v with Latchkey, %v with a bare 200; bare reads %v", full.p50(), bare.p50(), read.p50())
	parts := make(sample, len(bare))
	for i := range parts {
		parts[i] = turn{bare[i].p50 + read[i].p50, bare[i].cpu + read[i].cpu}
	}
	r.atMost("nginx_forward_auth_p50_ratio", full.against(parts, turn.wall), 1.25)
	return nil
}

// served sends a request that must be served.
func served(ctx context.Context, url, bearer string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
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
