package store

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
)

// LinkIdentity makes identity sign in as an account that has no identity. The decision rests on the
// account's name, mail address, lack of rank and state, so the write requires them as before.
func (t *Table) LinkIdentity(ctx context.Context, before account.Account, identity account.Identity, linked audit.Event) error {
	if err := checkEvents(linked); err != nil {
		return err
	}
	values := item{
		":issuer": text(identity.Issuer), ":subject": text(identity.Subject),
		":username": text(before.Username), ":state": text(string(before.State)),
	}
	condition := "attribute_not_exists(identity_issuer) AND username = :username AND #state = :state"
	if !before.Admin {
		condition += " AND attribute_not_exists(admin)"
	}
	if before.Email != "" {
		values[":email"] = text(before.Email)
		condition += " AND email = :email"
	}
	update := t.update(profileKey(before.ID), "SET identity_issuer = :issuer, identity_subject = :subject", condition, values)
	update.Update.ExpressionAttributeNames = map[string]string{"#state": "state"}
	items := []types.TransactWriteItem{update, t.put(owned(identityKey(identity), before.ID), absent, nil)}
	reasons, err := t.transact(ctx, items, []audit.Event{linked}, func(ctx context.Context) (bool, error) {
		stored, err := t.Account(ctx, before.ID)
		return stored.Identity == identity, err
	})
	switch {
	case err != nil || reasons == nil:
		return err
	case failed(reasons, 0) && len(reasons[0].Item) == 0:
		return fault.ErrNotFound
	case failed(reasons, 0):
		return fault.ErrMoved
	default:
		return account.ErrIdentityTaken
	}
}
