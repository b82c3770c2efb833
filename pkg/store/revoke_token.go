package store

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/token"
)

// RevokeToken revokes a token. If a rotation comes first, it changes nothing. The token leaves the expiry index, because its expiry need not be
// announced any more, and its record, pointer and family get the time of their clean-up. The bot of
// a project's or group's token is deleted with it.
func (t *Table) RevokeToken(ctx context.Context, revoked token.Token, event audit.Event) error {
	if err := checkEvents(event); err != nil {
		return err
	}
	t = t.retaining(ctx, revoked.RevokedAt)
	if revoked.Kind.OfProject() && !revoked.Superseded() {
		return t.revokeWithBot(ctx, revoked, event)
	}
	return t.revokeAlone(ctx, revoked, event)
}

// revokeAlone revokes a token without deleting a bot.
func (t *Table) revokeAlone(ctx context.Context, revoked token.Token, event audit.Event) error {
	record := t.revokeLast(revoked)
	if revoked.Superseded() {
		record = t.revokeRecord(revoked)
	}
	reasons, err := t.transactLeaving(ctx, []types.TransactWriteItem{record}, t.retirements(revoked), event, func(ctx context.Context) (bool, error) {
		stored, err := t.TokenByDigest(ctx, revoked.Digest)
		return !stored.RevokedAt.IsZero() && !lost(revoked, stored), err
	})
	switch {
	case err != nil || reasons == nil:
		return err
	case len(reasons[0].Item) == 0:
		return fault.ErrNotFound
	}
	// It is already revoked, or malformed, which never works.
	earlier, err := readToken(reasons[0].Item)
	switch {
	case err == nil && lost(revoked, earlier):
		return token.ErrSuperseded
	case err == nil && made(revoked, earlier):
		return token.ErrMade
	}
	return nil
}

// lost reports whether a token got a successor after it was read to be revoked.
func lost(revoked, stored token.Token) bool { return stored.Superseded() && !revoked.Superseded() }

// made reports whether a token that was to be revoked as a childless one has made another.
func made(revoked, stored token.Token) bool {
	return revoked.Childless && stored.Made && stored.RevokedAt.IsZero()
}

// ReportToken records the first report of a token that had been rotated: its mark, and the event.
func (t *Table) ReportToken(ctx context.Context, reported token.Token, event audit.Event) (first bool, err error) {
	const mark = token.MarkReported
	record := t.update(tokenKey(reported.Digest), "ADD notices :marks",
		"attribute_exists(pk) AND NOT contains(notices, :mark)",
		item{":marks": &types.AttributeValueMemberSS{Value: []string{mark}}, ":mark": text(mark)})
	reasons, err := t.transact(ctx, []types.TransactWriteItem{record}, []audit.Event{event}, func(ctx context.Context) (bool, error) {
		stored, err := t.TokenByDigest(ctx, reported.Digest)
		return slices.Contains(stored.Notices, mark), err
	})
	switch {
	case err != nil || reasons == nil:
		return err == nil, err
	case len(reasons[0].Item) == 0:
		return false, fault.ErrNotFound
	default:
		return false, nil
	}
}

const unrevoked = "attribute_exists(pk) AND attribute_not_exists(revoked_at)"

func (t *Table) revokeRecord(revoked token.Token) types.TransactWriteItem {
	condition := unrevoked
	if revoked.Childless {
		condition += " AND attribute_not_exists(made)"
	}
	return t.update(tokenKey(revoked.Digest),
		"SET revoked_at = :at, revoked_reason = :reason, delete_after = :delete REMOVE expiry_bucket, expiry_order, until_used",
		condition,
		item{
			":at":     epoch(revoked.RevokedAt),
			":reason": text(string(revoked.RevokedReason)),
			":delete": epoch(revoked.RevokedAt.Add(t.opts.Retention)),
		})
}

func (t *Table) retirePointer(revoked token.Token) types.TransactWriteItem {
	return t.update(pointerKey(revoked.ID), "SET delete_after = :delete", "attribute_exists(pk)",
		item{":delete": epoch(revoked.RevokedFrom().Add(t.opts.Retention))})
}

// retireFamily sets the clean-up time of the family, unless it has moved to a newer token.
func (t *Table) retireFamily(revoked token.Token) types.TransactWriteItem {
	return t.update(familyKey(revoked.Family), "SET delete_after = :delete", "digest = :digest", item{
		":delete": epoch(revoked.RevokedAt.Add(t.opts.Retention)),
		":digest": text(revoked.Digest.Key()),
	})
}
