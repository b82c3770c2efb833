package store

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
)

// UnlinkIdentity takes its identity from an account and ends the account's sessions, in one
// transaction.
func (t *Table) UnlinkIdentity(ctx context.Context, before account.Account, unlinked audit.Event) error {
	if err := checkEvents(unlinked); err != nil {
		return err
	}
	update := t.update(profileKey(before.ID), "REMOVE identity_issuer, identity_subject ADD session_number :one",
		"identity_issuer = :issuer AND identity_subject = :subject", item{
			":issuer": text(before.Identity.Issuer), ":subject": text(before.Identity.Subject), ":one": number(1),
		})
	items := []types.TransactWriteItem{
		update,
		t.remove(identityKey(before.Identity), "attribute_not_exists(pk) OR uid = :uid", item{":uid": number(int64(before.ID))}),
	}
	reasons, err := t.transact(ctx, items, []audit.Event{unlinked}, func(ctx context.Context) (bool, error) {
		stored, err := t.Account(ctx, before.ID)
		return stored.Identity == (account.Identity{}) && stored.SessionNumber > before.SessionNumber, err
	})
	switch {
	case err != nil || reasons == nil:
		return err
	case failed(reasons, 0) && len(reasons[0].Item) == 0:
		return fault.ErrNotFound
	default:
		return fault.ErrMoved
	}
}
