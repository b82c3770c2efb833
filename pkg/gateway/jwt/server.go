package jwt

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/pkg/apigateway"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/invocation"
	"latchkey/pkg/registry"
	"latchkey/pkg/throttle"
	"latchkey/pkg/trail"
	"latchkey/pkg/verify"
)

// A Server serves the token endpoint and the keys. It is safe for concurrent use.
type Server struct {
	parts  Parts
	set    []byte // the JWK Set
	bundle []byte
}

// The shortest and the longest life of a JWT. Clients take less than a minute for a minute ("Token
// Authentication Specification", expires_in).
const (
	MinLife = 60 * time.Second
	MaxLife = 900 * time.Second
)

// Parts hold the dependencies of a Server.
type Parts struct {
	Log      *slog.Logger
	Clock    clock.Clock
	Verifier *verify.Verifier
	Judge    *registry.Judge
	// Trail records uses of a token from outside its networks.
	Trail *trail.Notes
	// Throttles belong to the instance of the function.
	Throttles *throttle.Throttles
	Keys      *Keys
	// Service is the name of the registry, as its configuration has it. Registries with one name take
	// each other's JWTs.
	Service string
	// Life is how long a JWT is good, MinLife to MaxLife.
	Life time.Duration
	// Count adds one to a metric; see telemetry.Metrics.Count.
	Count func(metric, code string)
}

// New returns a Server, or an error that names a missing part.
func New(parts Parts) (*Server, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	if parts.Life < MinLife || parts.Life > MaxLife {
		return nil, fmt.Errorf("life of a JWT outside %s to %s", MinLife, MaxLife)
	}
	set, err := json.Marshal(parts.Keys.Set())
	if err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	return &Server{parts: parts, set: set, bundle: parts.Keys.Bundle()}, nil
}

// Handler returns the handler of the gateway's requests.
func (s *Server) Handler() proxy.Handler { return s.serve }

func (s *Server) serve(w http.ResponseWriter, r *http.Request, from proxy.Origin) {
	watch := clock.StartStopwatch()
	v := s.newVisit(w, r, from)
	defer func() {
		if panicked := recover(); panicked != nil {
			v.err = invocation.Panicked(panicked)
			if v.status == 0 {
				v.refuse(errors.New("panic"))
			}
		}
		v.logEnd(watch)
	}()
	if err := v.run(from.Unreadable); err != nil {
		v.refuse(err)
	}
}

const (
	authPath   = "/jwt/auth"
	keysPath   = "/jwt/keys"
	bundlePath = "/jwt/certs"
)

// methods are those of each route.
var methods = map[string]string{authPath: "GET, POST", keysPath: "GET, HEAD", bundlePath: "GET, HEAD"}

var (
	errUnreadable = fmt.Errorf("%w: request cannot be read", fault.ErrInput)
	errNoRoute    = fmt.Errorf("%w: route", fault.ErrNotFound)
	errMethod     = fmt.Errorf("%w: method", fault.ErrNotFound)
	errService    = fmt.Errorf("%w: service", fault.ErrNotFound)
	errScopes     = fmt.Errorf("%w: too many scopes", fault.ErrInput)
	errTwice      = fmt.Errorf("%w: service or credentials are given twice", fault.ErrInput)
	errGrant      = fmt.Errorf("%w: grant type is not password", fault.ErrInput)
)

// run answers a request.
func (v *visit) run(unreadable string) error {
	if unreadable != "" {
		return errUnreadable
	}
	_, path := apigateway.CutBase(v.r.URL.EscapedPath())
	allowed, known := methods[path]
	switch {
	case !known:
		return errNoRoute
	case !slices.Contains(strings.Split(allowed, ", "), v.r.Method):
		v.route = path
		return errMethod
	}
	switch v.route = path; path {
	case keysPath:
		return v.publish("application/jwk-set+json", v.server.set)
	case bundlePath:
		return v.publish("application/x-pem-file", v.server.bundle)
	default:
		return v.issue()
	}
}

// published is how long a copy of the keys may be used, in seconds.
const published = "300"

func (v *visit) publish(contentType string, body []byte) error {
	v.header().Set("Cache-Control", "public, max-age="+published)
	v.write(http.StatusOK, contentType, body)
	return nil
}
