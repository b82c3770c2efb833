package store

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/token"
)

// revokeWithBot is RevokeToken for a token of a project or group. It revokes the record and deletes
// the bot's membership and account in one transaction. If the account is already gone, it deletes
// the rest. A token that gets a successor first keeps its bot for it.
func (t *Table) revokeWithBot(ctx context.Context, revoked token.Token, event audit.Event) error {
	record := []types.TransactWriteItem{t.revokeLast(revoked)}
	for attempt := 0; ; attempt++ {
		bot, err := t.Account(ctx, revoked.Owner)
		// A malformed profile grants nothing, and must not keep the token from being revoked. It
		// stays for an operator to look at.
		gone := errors.Is(err, fault.ErrNotFound) || errors.Is(err, fault.ErrCorrupt)
		if err != nil && !gone {
			return err
		}
		if gone && len(record) == 0 {
			return nil // another request has removed it
		}
		needed := append(record[:len(record):len(record)],
			t.remove(memberKey(revoked.Project, revoked.Owner), "", nil),
			t.remove(membershipKey(revoked.Project, revoked.Owner), "", nil))
		extra := t.retirements(revoked)
		if !gone {
			needed = append(needed, t.remove(profileKey(bot.ID), "username = :username", item{":username": text(bot.Username)}))
			extra = append(extra, t.removeNames(bot)...)
		}
		reasons, err := t.transactLeaving(ctx, needed, extra, event, func(ctx context.Context) (bool, error) { return t.revokedWithBot(ctx, revoked) })
		switch {
		case err != nil || reasons == nil:
			return err
		case len(record) > 0 && failed(reasons, 0):
			if len(reasons[0].Item) == 0 {
				return fault.ErrNotFound
			}
			earlier, err := readToken(reasons[0].Item)
			switch {
			case err != nil || gone && !earlier.RevokedAt.IsZero():
				return err
			case earlier.Superseded():
				return token.ErrSuperseded
			case made(revoked, earlier):
				return token.ErrMade
			}
			// The record is revoked and its bot still exists. No single request leaves that, so
			// remove the bot without the condition on the record.
			record = nil
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// revokeLast revokes the record of a token without a successor.
func (t *Table) revokeLast(revoked token.Token) types.TransactWriteItem {
	record := t.revokeRecord(revoked)
	*record.Update.ConditionExpression += unreplaced
	return record
}

// transactLeaving writes needed and as much of extra as possible. Damaged items for lookup,
// uniqueness and clean-up must not keep a token alive. It returns the reasons why needed was
// refused.
func (t *Table) transactLeaving(ctx context.Context, needed, extra []types.TransactWriteItem, event audit.Event,
	done func(context.Context) (bool, error)) ([]types.CancellationReason, error) {
	for {
		reasons, err := t.transact(ctx, append(needed[:len(needed):len(needed)], extra...), []audit.Event{event}, done)
		if err != nil || reasons == nil {
			return nil, err
		}
		for i := range needed {
			if failed(reasons, i) {
				return reasons, nil
			}
		}
		var left []types.TransactWriteItem
		for i, part := range extra {
			if !failed(reasons, len(needed)+i) {
				left = append(left, part)
			}
		}
		extra = left
	}
}

// revokedWithBot reads whether a token is revoked and its bot deleted.
func (t *Table) revokedWithBot(ctx context.Context, revoked token.Token) (bool, error) {
	stored, err := t.TokenByDigest(ctx, revoked.Digest)
	if err != nil || stored.RevokedAt.IsZero() {
		return false, err
	}
	_, err = t.Account(ctx, revoked.Owner)
	if errors.Is(err, fault.ErrNotFound) || errors.Is(err, fault.ErrCorrupt) {
		return true, nil
	}
	return false, err
}

// retirements set the clean-up time of all items of a revoked token.
func (t *Table) retirements(revoked token.Token) []types.TransactWriteItem {
	items := append(t.retireEntries(revoked, revoked.RevokedAt), t.retirePointer(revoked))
	if revoked.Kind.OfProject() {
		items = append(items, t.retireProjectPointer(revoked))
	}
	if revoked.Previous != 0 && !revoked.Superseded() {
		items = append(items, t.retireFamily(revoked))
	}
	return items
}

func (t *Table) retireProjectPointer(revoked token.Token) types.TransactWriteItem {
	return t.update(projectPointerKey(revoked.Project, revoked.ID), "SET delete_after = :delete", "attribute_exists(pk)",
		item{":delete": epoch(revoked.RevokedFrom().Add(t.opts.Retention))})
}

// removeNames frees the names of a deleted account and counts the deletion.
func (t *Table) removeNames(u account.Account) []types.TransactWriteItem {
	const own = "attribute_not_exists(pk) OR uid = :uid"
	uid := item{":uid": number(int64(u.ID))}
	items := []types.TransactWriteItem{
		t.update(accountSequenceKey(), "ADD gone :one", "attribute_exists(pk)", item{":one": number(1)}),
		t.remove(usernameKey(u.Username), own, uid),
	}
	if u.Email != "" {
		items = append(items, t.remove(emailKey(u.Email), own, uid))
	}
	if u.Identity != (account.Identity{}) {
		items = append(items, t.remove(identityKey(u.Identity), own, uid))
	}
	return items
}

func (t *Table) remove(k key, condition string, values item) types.TransactWriteItem {
	remove := &types.Delete{TableName: &t.name, Key: k, ExpressionAttributeValues: values}
	if condition != "" {
		remove.ConditionExpression = &condition
	}
	return types.TransactWriteItem{Delete: remove}
}
