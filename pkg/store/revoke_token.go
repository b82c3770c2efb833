package store

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/token"
)

// RevokeToken revokes a token. It leaves the expiry index, because
// nobody is told of the end of a token that has ended, and gives record,
// pointer and family a date from which clean-up may take them. The bot of a
// project's or group's token goes with it.
func (t *Table) RevokeToken(ctx context.Context, ended token.Token, revoked audit.Event) error {
	if err := checkEvents(revoked); err != nil {
		return err
	}
	t = t.retaining(ctx, ended.RevokedAt)
	if ended.Kind.OfProject() && !ended.Superseded() {
		return t.endWithBot(ctx, ended, revoked)
	}
	return t.endAlone(ctx, ended, revoked)
}

// endAlone ends a token and nothing else with it.
func (t *Table) endAlone(ctx context.Context, ended token.Token, revoked audit.Event) error {
	items := append([]types.TransactWriteItem{t.endRecord(ended)}, t.retirements(ended)...)
	for {
		reasons, err := t.transact(ctx, items, []audit.Event{revoked}, func(ctx context.Context) (bool, error) {
			stored, err := t.TokenByDigest(ctx, ended.Digest)
			return !stored.RevokedAt.IsZero(), err
		})
		switch {
		case err != nil || reasons == nil:
			return err
		case !failed(reasons, 0):
			// Pointer or family are not as they should be. They only serve
			// clean-up and lookup; a token must end all the same.
			items = items[:1]
		case len(reasons[0].Item) == 0:
			return fault.ErrNotFound
		default:
			return nil // it is over already, which is what was asked for
		}
	}
}

// unended is the condition on a record that has not been revoked.
const unended = "attribute_exists(pk) AND attribute_not_exists(revoked_at)"

func (t *Table) endRecord(ended token.Token) types.TransactWriteItem {
	return t.update(tokenKey(ended.Digest),
		"SET revoked_at = :at, revoked_reason = :reason, delete_after = :delete REMOVE expiry_bucket, expiry_order",
		unended,
		item{
			":at":     epoch(ended.RevokedAt),
			":reason": text(string(ended.RevokedReason)),
			":delete": epoch(ended.RevokedAt.Add(t.opts.Retention)),
		})
}

func (t *Table) retirePointer(ended token.Token) types.TransactWriteItem {
	return t.update(pointerKey(ended.ID), "SET delete_after = :delete", "attribute_exists(pk)",
		item{":delete": epoch(ended.Ended().Add(t.opts.Retention))})
}

// retireFamily dates the family unless it has moved on to a newer token.
func (t *Table) retireFamily(ended token.Token) types.TransactWriteItem {
	return t.update(familyKey(ended.Family), "SET delete_after = :delete", "digest = :digest", item{
		":delete": epoch(ended.RevokedAt.Add(t.opts.Retention)),
		":digest": text(ended.Digest.Key()),
	})
}
