package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"latchkey/pkg/apigateway"
	"latchkey/pkg/fault"
)

// A Dialect is how a proxy describes the request that it asks about, and which answers it understands.
type Dialect struct {
	name string
	// method and target are the headers in which the proxy puts the request's method and target. Without
	// them, the question has the method itself, and the target follows its address.
	method, target string
	// twoRefusals says that the proxy turns every refusal but 401 and 403 into its own 500.
	twoRefusals bool
}

// dialects are the known proxies. A proxy passes on the headers of the others as the client sent
// them, so no address serves two families.
var dialects = []Dialect{
	{name: "nginx", method: originalMethod, target: originalTarget, twoRefusals: true},
	{name: "traefik", method: forwardedMethod, target: forwardedTarget},
	{name: "caddy", method: forwardedMethod, target: forwardedTarget},
	{name: "envoy"},
}

const (
	originalMethod  = "X-Original-Method"
	originalTarget  = "X-Original-Uri"
	forwardedMethod = "X-Forwarded-Method"
	forwardedTarget = "X-Forwarded-Uri"
	bearerHeader    = "Private-Token"
)

var (
	errDescription = fmt.Errorf("%w: the proxy does not describe the request", fault.ErrInput)
	errSteered     = fmt.Errorf("%w: headers name another request", fault.ErrInput)
	errAlias       = fmt.Errorf("%w: header with another spelling of an identity header", fault.ErrInput)
	errOverride    = fmt.Errorf("%w: header that asks the backend for another request", fault.ErrInput)
)

// read returns the request that the proxy asks about. rest is what follows the kind in the address.
func (d Dialect) read(r *http.Request, rest string) (method, target string, err error) {
	if d.target == "" {
		method, target = r.Method, rest
		if r.URL.RawQuery != "" {
			target += "?" + r.URL.RawQuery
		}
	} else if method, target, err = described(r.Header, d.method, d.target); err != nil {
		return "", "", err
	}
	if !validMethod(method) || !validTarget(target) {
		return "", "", errDescription
	}
	for _, header := range [...][2]string{
		{originalMethod, method}, {forwardedMethod, method}, {originalTarget, target}, {forwardedTarget, target},
	} {
		// An event has lost the spelling of the target's query, so behind Envoy no value is the same.
		values := r.Header.Values(header[0])
		if len(values) > 0 && (len(values) > 1 || strings.TrimSpace(values[0]) != header[1] || d.target == "") {
			return "", "", errSteered
		}
	}
	return method, target, checkHeaders(r.Header, target)
}

func described(h http.Header, methodHeader, targetHeader string) (method, target string, err error) {
	method, err = apigateway.OnlyHeader(h, methodHeader)
	target, repeated := apigateway.OnlyHeader(h, targetHeader)
	return method, target, errors.Join(err, repeated)
}

func validMethod(method string) bool {
	const longest = 32
	for _, c := range method {
		if c < 'A' || c > 'Z' {
			return false
		}
	}
	return method != "" && len(method) <= longest
}

// validTarget accepts a target in origin form (RFC 9112 section 3.2.1) that no reader ends early. What
// its path means is for the kind to judge.
func validTarget(target string) bool {
	if !strings.HasPrefix(target, "/") {
		return false
	}
	return !strings.ContainsFunc(target, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '#' })
}

// steering are the headers in which proxies describe a request, and which backends read too, by their
// folded names.
var steering = map[string]string{
	"x-original-method": originalMethod, "x-original-uri": originalTarget,
	"x-forwarded-method": forwardedMethod, "x-forwarded-uri": forwardedTarget,
}

// overrides are the headers with which some backends replace the method, folded.
var overrides = map[string]bool{"x-http-method-override": true, "x-http-method": true, "x-method-override": true}

// rewrites are the headers with which some backends replace the target, folded.
var rewrites = map[string]bool{"x-original-url": true, "x-rewrite-url": true}

// checkHeaders refuses headers that a backend could take for something else than the proxy and this
// package do. CGI, WSGI and PHP fold the characters of a name that are neither letters nor digits into
// one, so that X_Auth_User is X-Auth-User to them, and proxies let it pass (CVE-2026-35051).
func checkHeaders(h http.Header, target string) error {
	for name, values := range h {
		if name == "" || !strings.ContainsRune("XxPp", rune(name[0])) {
			continue // none of those below begins otherwise
		}
		folded := fold(name)
		isAlias := func(canonical string) bool { return canonical != "" && canonical != http.CanonicalHeaderKey(name) }
		switch {
		case isAlias(identityHeaders[folded]):
			return errAlias
		case isAlias(steering[folded]):
			return errSteered
		case folded == "private-token" && isAlias(bearerHeader):
			return &apigateway.Repeated{Name: "credential"} // the backend might choose this one
		case overrides[folded]:
			return errOverride
		case rewrites[folded]:
			for _, value := range values {
				if value != target && !isURLWith(value, target) {
					return errOverride
				}
			}
		}
	}
	return nil
}

// isURLWith reports whether value is an absolute URL that ends in target, as the ingress controller of
// nginx sends it.
func isURLWith(value, target string) bool {
	_, rest, absolute := strings.Cut(value, "://")
	at := strings.IndexByte(rest, '/')
	return absolute && at > 0 && rest[at:] == target
}

// fold returns the name of a header as the most careless backend reads it.
func fold(name string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			return c
		case 'A' <= c && c <= 'Z':
			return c + 'a' - 'A'
		}
		return '-'
	}, name)
}
