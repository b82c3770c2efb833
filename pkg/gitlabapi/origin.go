package gitlabapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
)

// requestOf is what is known of the request under ctx.
func requestOf(ctx context.Context) principal.Request {
	return principal.Request{ID: recordOf(ctx).id, Address: addressOf(ctx)}
}

// invocationID names an operator's direct invocation.
func invocationID(ctx context.Context) string {
	if invocation, ok := lambdacontext.FromContext(ctx); ok {
		return invocation.AwsRequestID
	}
	return ""
}

// note writes an event down that belongs to no change. It does its best: a
// request goes on without it.
func (api *API) note(r *http.Request, event audit.Event) {
	if err := trail.Note(r.Context(), api.Trail, event); err != nil {
		api.Log.Warn("event not recorded", facts(r, "event", string(event.Name), "reason", err.Error())...)
	}
}

// bearerOnly is who makes a request whose bearer is known and whose sender is not.
func bearerOnly(request principal.Request, presented token.Token) principal.Principal {
	return principal.Principal{Token: token.Token{ID: presented.ID}, Request: request}
}

// noteSudo writes down that before wanted to act as somebody else, and what
// came of it.
func (api *API) noteSudo(r *http.Request, before, after principal.Principal, err error) {
	from := audit.By(before, audit.Admin)
	switch missing := (*sudoMissing)(nil); {
	case err == nil && after.By != nil:
		api.note(r, audit.OfAccount(api.Clock.Now(), from, audit.SudoUsed, after.Account))
	case errors.Is(err, fault.ErrForbidden), errors.Is(err, scope.ErrInsufficient), errors.As(err, &missing), errors.Is(err, account.ErrInactive):
		event := audit.Event{At: api.Clock.Now(), Name: audit.SudoRefused, Entity: audit.AccountEntity(before.Account.ID), Origin: from}
		if after.By != nil {
			event.Target = after.Account.Username
		}
		if !before.Account.Admin {
			event.Source = audit.Self
		}
		api.note(r, event)
	}
}

// noteRefusal writes down that caller may not make a token of this kind.
func (api *API) noteRefusal(r *http.Request, caller principal.Principal, kind token.Kind) {
	from := audit.By(caller, audit.Self)
	if from.Asker != 0 {
		from.Source = audit.Admin
	}
	api.note(r, audit.Event{
		At: api.Clock.Now(), Name: audit.NameOf(kind, audit.Refused), Entity: audit.AccountEntity(caller.Account.ID), Origin: from,
	})
}

// lacksRight reports whether a request was refused for what its caller may do,
// which a caller who is refused for what is switched off is not.
func lacksRight(err error) bool {
	return (errors.Is(err, fault.ErrForbidden) || errors.Is(err, scope.ErrInsufficient)) && !errors.Is(err, fault.ErrSwitchedOff)
}
