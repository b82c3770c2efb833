// Package authorizer answers API Gateway's custom authorizer events, so that other
// people's APIs can use Latchkey's tokens: events in, policies out.
//
// Start with New. An event is decoded, its route and then its bearer are read, the
// bearer is decided about, and the answer is a policy. The package promises that a
// policy depends on the token and the scope catalog alone, so that it stays right
// when the gateway keeps it and applies it to another request, and that what cannot
// be decided is an error, which the gateway fails closed.
package authorizer

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/invocation"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/throttle"
	"latchkey/pkg/trail"
	"latchkey/pkg/verify"
)

// Parts are what an Authorizer is made of.
type Parts struct {
	Log      *slog.Logger
	Verifier *verify.Verifier
	Scopes   *scope.Catalog
	// Throttles of the function's instance; see throttle.Unlimited.
	Throttles *throttle.Throttles
	// Trail records that a bearer came from where it may not be used.
	Trail trail.Recorder
	Clock clock.Clock
	// Count adds one to a metric; see telemetry.Metrics.Count.
	Count func(metric, code string)
	// SimpleResponses says that HTTP APIs with payload format 2.0 have simple
	// responses enabled; the event does not tell.
	SimpleResponses bool `optional:""`
}

// An Authorizer decides for other people's APIs whether a request may pass.
// It serves the events of REST API TOKEN and REQUEST authorizers and of HTTP
// API authorizers in payload format 1.0 and 2.0, and tells them apart by
// their fields. It is safe for concurrent use.
type Authorizer struct {
	parts    Parts
	policies policies
}

// New returns an Authorizer, or an error that names the part that is missing.
func New(parts Parts) (*Authorizer, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Authorizer{parts: parts}, nil
}

// errUndecided is all that the gateway, and so its caller, is told of a
// failure. It fails the request closed.
var errUndecided = errors.New("could not decide")

// Lambda returns the handler of the authorizer function.
func (a *Authorizer) Lambda() lambda.Handler { return invocation.Handler(a.Decide) }

// Decide answers one authorizer event as API Gateway sends it; see Authorize.
func (a *Authorizer) Decide(ctx context.Context, raw json.RawMessage) (any, error) {
	var event Event
	if err := json.Unmarshal(raw, &event); err != nil {
		return nil, a.malformed("not the JSON of an authorizer event")
	}
	return a.Authorize(ctx, event)
}

// Authorize answers one authorizer event. A refused bearer is a normal answer:
// a policy that denies everything, or isAuthorized false. An error means that
// it could not be decided, and never allows. Nobody may change the policy of
// an answer: it is kept for others.
func (a *Authorizer) Authorize(ctx context.Context, event Event) (any, error) {
	route, err := event.route()
	if err != nil {
		return nil, a.malformed(err.Error())
	}
	request := event.request()
	caller, err := a.decide(ctx, event, route, request.Address)
	simple := event.isHTTP2() && a.parts.SimpleResponses
	switch {
	case err == nil:
		return a.answer(simple, route, caller), nil
	case !refused(err):
		a.parts.Log.Error("bearer not decided", "reason", err.Error())
		a.parts.Count("BearersRefused", verify.RefusalCode(err))
		return nil, errUndecided
	}
	a.refuse(ctx, request, err)
	return deny(simple, route, err), nil
}

func (a *Authorizer) malformed(reason string) error {
	a.parts.Log.Error("authorizer event malformed", "reason", reason)
	return errUndecided
}

// decide returns whose good bearer came from an address. The path comes first: one
// that can be read in two ways is refused whoever asks for it.
func (a *Authorizer) decide(ctx context.Context, event Event, route gatewayRoute, from netip.Addr) (principal.Principal, error) {
	for _, path := range route.spellings {
		if err := a.parts.Scopes.CheckPath(path); err != nil {
			return principal.Principal{}, err
		}
	}
	bearer, err := event.bearer()
	if err != nil {
		return principal.Principal{}, err
	}
	return a.parts.Throttles.Verify(ctx, a.parts.Verifier, bearer, from, a.parts.Clock.Now())
}

// refused reports whether err says that the request, the bearer or its owner is no
// good. Any other error is no decision, and one that comes with a failure is none
// either.
func refused(err error) bool {
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Unauthenticated, fault.Forbidden, fault.Throttled:
		return !errors.Is(err, fault.ErrUnavailable) && !errors.Is(err, fault.ErrCorrupt)
	}
	return false
}

// refuse logs, counts and records a refusal.
func (a *Authorizer) refuse(ctx context.Context, request principal.Request, err error) {
	if errors.Is(err, throttle.ErrThrottled) {
		a.parts.Log.Warn("bearer not looked at", "reason", err.Error())
		a.parts.Count("RequestsThrottled", throttle.WrongBearers)
		return
	}
	var known principal.Principal
	if refusal, matched := errors.AsType[*verify.Refusal](err); matched {
		known = principal.Principal{Account: refusal.Account, Token: refusal.Token}
		if event, stray := refusal.Stray(request, a.parts.Clock.Now()); stray && a.parts.Throttles.Stray(known.Token.ID, event.At) == nil {
			a.record(ctx, event)
		}
	}
	a.logRefusal(known, err)
}

func (a *Authorizer) record(ctx context.Context, event audit.Event) {
	if err := trail.Note(ctx, a.parts.Trail, event); err != nil {
		a.parts.Log.Warn("event not recorded", "event", string(event.Name), "reason", err.Error())
	}
}

// logRefusal logs and counts the refusal of a bearer, which is known's if it matched
// a token.
func (a *Authorizer) logRefusal(known principal.Principal, err error) {
	attrs := []any{"reason", err.Error()}
	if known.Token.ID != 0 {
		attrs = append(attrs, "token_id", int64(known.Token.ID), "owner", int64(known.Token.Owner))
		attrs = append(attrs, principal.Behind(known)...)
	}
	a.parts.Log.Warn("bearer refused", attrs...)
	a.parts.Count("BearersRefused", verify.RefusalCode(err))
}
