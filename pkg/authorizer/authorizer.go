// Package authorizer answers API Gateway's custom authorizer events, so that other people's APIs
// can use Latchkey's tokens: events in, policies out.
//
// Start with New. The package promises that a policy depends only on the token and the scope
// catalog, so that it stays right when the gateway caches it for other requests. An event that
// cannot be decided is an error, and the gateway then refuses the request.
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
	"latchkey/pkg/trail"
	"latchkey/pkg/verify"
)

// Parts hold the dependencies of an Authorizer.
type Parts struct {
	Log      *slog.Logger
	Verifier *verify.Verifier
	Scopes   *scope.Catalog
	// Trail records uses of a token from outside its networks.
	Trail *trail.Notes
	Clock clock.Clock
	// Count adds one to a metric; see telemetry.Metrics.Count.
	Count func(metric, code string)
	// SimpleResponses says that HTTP APIs with payload format 2.0 have simple responses enabled.
	// The event does not say so.
	SimpleResponses bool `optional:""`
	// Kept says by what gateways keep answers. Without a header, they keep none.
	Kept IdentitySource `optional:""`
	// Unauthorized makes REST APIs answer 401 to a missing or wrong bearer, instead of 403.
	Unauthorized bool `optional:""`
}

// An IdentitySource names the parts of a request by which a gateway keeps answers. Decisions then
// depend on nothing else, because whoever sends the same parts gets the kept answer.
type IdentitySource struct {
	// Header holds the bearer.
	Header string
	// Address says that the client's address is a part. Without it, tokens with networks are refused.
	Address bool
}

func (s IdentitySource) keeps() bool { return s.Header != "" }

// An Authorizer decides for other people's APIs whether a request may pass. It serves the events of
// REST API TOKEN and REQUEST authorizers and of HTTP API authorizers in payload formats 1.0 and
// 2.0, and tells them apart by their fields. It is safe for concurrent use.
type Authorizer struct {
	parts    Parts
	policies policies
	// denied are the patterns of ambiguous paths in every policy.
	denied []string
}

// New returns an Authorizer, or an error that names a missing part.
func New(parts Parts) (*Authorizer, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	a := &Authorizer{parts: parts, denied: scope.AmbiguousPatterns}
	switch {
	case len(parts.Scopes.LoosePaths) > 0:
		a.denied = scope.DotPatterns // the catalog leaves the rest to each decision
	case parts.Kept.keeps():
		a.denied = scope.KeptPatterns
	}
	return a, nil
}

// A function's error is all that the gateway and its caller learn of some refusals. No gateway keeps
// it.
var (
	// errUndecided makes the gateway answer 500.
	errUndecided = &invocation.Error{Type: "Undecided", Message: "could not decide"}
	// errUnauthorized makes a REST API answer 401. API Gateway looks for this very text (Developer
	// Guide, "Use API Gateway Lambda authorizers").
	errUnauthorized = &invocation.Error{Type: "Unauthenticated", Message: "Unauthorized"}
)

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

// Authorize answers one authorizer event. A refused bearer is a normal answer: a policy that denies
// everything, or isAuthorized false. A good bearer gets the policy of its token, whatever the request
// is. An error means that the request could not be decided, or that no policy can refuse it, and never
// allows it. Callers must not modify a returned policy, because it is shared.
func (a *Authorizer) Authorize(ctx context.Context, event Event) (any, error) {
	route, err := event.route()
	if err != nil {
		return nil, a.malformed(err.Error())
	}
	request := event.request()
	if a.parts.Kept.keeps() && !a.parts.Kept.Address {
		request.Address = netip.Addr{}
	}
	simple := event.isHTTP2() && a.parts.SimpleResponses
	caller, err := a.decide(ctx, event, request.Address)
	switch {
	case err == nil:
		return a.answer(simple, route, caller)
	case !refused(err):
		a.parts.Log.Error("bearer not decided", "reason", err.Error())
		a.parts.Count("BearersRefused", verify.RefusalCode(err))
		return nil, errUndecided
	}
	a.refuse(ctx, request, err)
	switch {
	case a.parts.Unauthorized && event.isREST() && word(err) == "invalid_token":
		return nil, errUnauthorized
	case a.parts.Kept.keeps() && fault.KindOf(err) == fault.Invalid:
		return nil, errUndecided // given twice: which one the gateway keeps answers by is unknown
	}
	return deny(simple, route, err), nil
}

func (a *Authorizer) malformed(reason string) error {
	a.parts.Log.Error("authorizer event malformed", "reason", reason)
	return errUndecided
}

// decide returns the caller of a good bearer.
func (a *Authorizer) decide(ctx context.Context, event Event, from netip.Addr) (principal.Principal, error) {
	bearer, err := event.bearer(a.parts.Kept.Header)
	if err != nil {
		return principal.Principal{}, err
	}
	return a.parts.Verifier.Verify(ctx, bearer, from)
}

// refused reports whether err refuses the request, the bearer or its owner. Any other error, and
// any error joined with a failure, means that nothing was decided.
func refused(err error) bool {
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Unauthenticated, fault.Forbidden:
		return !errors.Is(err, fault.ErrUnavailable) && !errors.Is(err, fault.ErrCorrupt)
	}
	return false
}

// refuse logs, counts and records a refusal.
func (a *Authorizer) refuse(ctx context.Context, request principal.Request, err error) {
	var known principal.Principal
	if refusal, matched := errors.AsType[*verify.Refusal](err); matched {
		known = principal.Principal{Account: refusal.Account, Token: refusal.Token}
		if event, stray := refusal.Stray(request, a.parts.Clock.Now()); stray {
			a.record(ctx, event)
		}
	}
	a.logRefusal(known, err)
}

func (a *Authorizer) record(ctx context.Context, event audit.Event) {
	if err := a.parts.Trail.Refusal(ctx, event); err != nil {
		a.parts.Log.Warn("event not recorded", "request_id", event.RequestID, "event", string(event.Name), "reason", err.Error())
	}
}

// logRefusal logs and counts a refused bearer. known is its owner if it matched a token.
func (a *Authorizer) logRefusal(known principal.Principal, err error) {
	attrs := []any{"reason", err.Error()}
	if known.Token.ID != 0 {
		attrs = append(attrs, "token_id", int64(known.Token.ID), "owner", int64(known.Token.Owner))
		attrs = append(attrs, principal.Behind(known)...)
	}
	a.parts.Log.Warn("bearer refused", attrs...)
	a.parts.Count("BearersRefused", verify.RefusalCode(err))
}
