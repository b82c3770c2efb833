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

// origin says where the changes of a request come from that runs as caller, the
// zero Principal for nobody.
func origin(ctx context.Context, caller principal.Principal) audit.Origin {
	from := audit.Origin{Author: caller.Account.ID, Presented: caller.Token.ID, RequestID: recordOf(ctx).id}
	if asker := caller.Asker(); asker != caller.Account.ID {
		from.Asker = asker
	}
	if address := addressOf(ctx); address.IsValid() {
		from.Address = address.String()
	}
	return from
}

// withOperator says that what is done under the context is an operator's doing.
func withOperator(ctx context.Context) context.Context {
	from := audit.Origin{Source: audit.Console}
	if invocation, ok := lambdacontext.FromContext(ctx); ok {
		from.RequestID = invocation.AwsRequestID
	}
	return audit.WithOrigin(ctx, from)
}

// note writes an event down that belongs to no change. It does its best: a
// request goes on without it.
func (api *API) note(r *http.Request, from audit.Origin, event audit.Event) {
	if err := trail.Note(audit.WithOrigin(r.Context(), from), api.Trail, api.Clock.Now(), event); err != nil {
		api.Log.Warn("event not recorded", facts(r, "event", string(event.Name), "reason", err.Error())...)
	}
}

// ofNobody says where a request comes from whose bearer is known and whose
// sender is not.
func ofNobody(ctx context.Context, t token.Token) audit.Origin {
	return origin(ctx, principal.Principal{Token: token.Token{ID: t.ID}})
}

// noteSudo writes down that before wanted to act as somebody else, and what
// came of it.
func (api *API) noteSudo(r *http.Request, before, after principal.Principal, err error) {
	from := origin(r.Context(), before)
	from.Source = audit.Admin
	switch missing := (*sudoMissing)(nil); {
	case err == nil && after.By != nil:
		api.note(r, from, audit.Event{Name: audit.SudoUsed, Entity: audit.AccountEntity(after.Account.ID), Target: after.Account.Username})
	case errors.Is(err, fault.ErrForbidden), errors.Is(err, scope.ErrInsufficient), errors.As(err, &missing), errors.Is(err, account.ErrInactive):
		event := audit.Event{Name: audit.SudoRefused, Entity: audit.AccountEntity(before.Account.ID)}
		if after.By != nil {
			event.Target = after.Account.Username
		}
		if !before.Account.Admin {
			from.Source = audit.Self
		}
		api.note(r, from, event)
	}
}

// noteRefusal writes down that caller may not make a token of this kind.
func (api *API) noteRefusal(r *http.Request, caller principal.Principal, kind token.Kind) {
	from := origin(r.Context(), caller)
	from.Source = audit.Self
	if from.Asker != 0 {
		from.Source = audit.Admin
	}
	api.note(r, from, audit.Event{Name: audit.NameOf(kind, audit.Refused), Entity: audit.AccountEntity(caller.Account.ID)})
}

// lacksRight reports whether a request was refused for what its caller may do,
// which a caller who is refused for what is switched off is not.
func lacksRight(err error) bool {
	return (errors.Is(err, fault.ErrForbidden) || errors.Is(err, scope.ErrInsufficient)) && !errors.Is(err, fault.ErrSwitchedOff)
}
