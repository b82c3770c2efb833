package proxies

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A Front stands in front of a local Latchkey as API Gateway does: it speaks TLS, and it answers 403 to a request that
// names another host.
type Front struct {
	// Address is where proxies find it, and Authorities the file with the certificate that they trust.
	Address, Authorities string
	server               *http.Server
}

// NewFront starts a Front on 127.0.0.1 whose certificate lies in folder. Requests go to latchkey, with the host that
// this URL has. saw, unless it is nil, gets each request and its answer before the proxy does; the request's
// RequestURI is as the proxy sent it.
func NewFront(ctx context.Context, folder, latchkey string, saw func(*http.Request, *http.Response)) (*Front, error) {
	target, err := url.Parse(latchkey)
	if err != nil {
		return nil, err
	}
	certificate, authorities, err := certify(folder)
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &Front{Address: listener.Addr().String(), Authorities: authorities}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, ""
			r.Out.URL.Opaque, _, _ = strings.Cut(r.In.RequestURI, "?") // as sent, where Go would spell it anew
			// ReverseProxy drops these; the local gateway has them from whoever called.
			for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
				if values := r.In.Header.Values(name); len(values) > 0 {
					r.Out.Header[name] = values
				}
			}
		},
		Transport: &http.Transport{MaxIdleConnsPerHost: 100, DisableCompression: true},
		ModifyResponse: func(response *http.Response) error {
			if saw != nil {
				saw(response.Request, response)
			}
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
	f.server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Host != Name && r.Host != f.Address {
				http.Error(w, `{"message":"Forbidden"}`, http.StatusForbidden)
				return
			}
			pass.ServeHTTP(w, r)
		}),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	go func() { _ = f.server.ServeTLS(listener, "", "") }() // ends with Close
	return f, nil
}

// Close ends it, with the requests that it has.
func (f *Front) Close() error { return f.server.Close() }

// certify makes a certificate for Name and 127.0.0.1, signed by itself, and writes it into folder.
func certify(folder string) (tls.Certificate, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, "", err
	}
	now := time.Now()
	certificate := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: Name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		DNSNames: []string{Name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, certificate, certificate, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("certificate: %w", err)
	}
	path := filepath.Join(folder, "authorities.pem")
	err = os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o600)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, path, err
}
