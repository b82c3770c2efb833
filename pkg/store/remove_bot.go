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

// endWithBot is RevokeToken for the token of a project or group: the record
// ends, and the bot's membership and account are deleted, in one transaction.
// A bot whose account is gone already loses the rest. The end of a token that
// was rotated away, be it in its overlap, ends nothing more: its bot lives on
// with the successor.
func (t *Table) endWithBot(ctx context.Context, ended token.Token, revoked audit.Event) error {
	end := []types.TransactWriteItem{t.endLast(ended)}
	for attempt := 0; ; attempt++ {
		bot, err := t.Account(ctx, ended.Owner)
		// A profile that makes no sense lets nobody in, and must not keep the
		// token from ending. It stays for somebody to look at.
		gone := errors.Is(err, fault.ErrNotFound) || errors.Is(err, fault.ErrCorrupt)
		if err != nil && !gone {
			return err
		}
		if gone && len(end) == 0 {
			return nil // somebody else has removed it meanwhile
		}
		needed := append(end[:len(end):len(end)],
			t.remove(memberKey(ended.Project, ended.Owner), "", nil),
			t.remove(membershipKey(ended.Project, ended.Owner), "", nil))
		extra := t.retirements(ended)
		if !gone {
			needed = append(needed, t.remove(profileKey(bot.ID), "username = :username", item{":username": text(bot.Username)}))
			extra = append(extra, t.removeNames(bot)...)
		}
		reasons, err := t.transactLeaving(ctx, needed, extra, revoked, func(ctx context.Context) (bool, error) { return t.endedWithBot(ctx, ended) })
		switch {
		case err != nil || reasons == nil:
			return err
		case len(end) > 0 && failed(reasons, 0):
			if len(reasons[0].Item) == 0 {
				return fault.ErrNotFound
			}
			earlier, err := readToken(reasons[0].Item)
			switch {
			case err != nil || gone && !earlier.RevokedAt.IsZero():
				return err
			case earlier.Superseded():
				return t.endAlone(ctx, ended, revoked)
			}
			// The record has ended and its bot has not, which no request does
			// by itself: both have to.
			end = nil
		}
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

// endLast ends the record of a token that has no successor.
func (t *Table) endLast(ended token.Token) types.TransactWriteItem {
	end := t.endRecord(ended)
	*end.Update.ConditionExpression += unreplaced
	return end
}

// transactLeaving writes needed and as much of extra as can be written: what
// only serves lookup, uniqueness and clean-up may be damaged without keeping a
// token alive. It returns the reasons for which needed was refused.
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

// endedWithBot reads whether a token has ended and its bot with it.
func (t *Table) endedWithBot(ctx context.Context, ended token.Token) (bool, error) {
	stored, err := t.TokenByDigest(ctx, ended.Digest)
	if err != nil || stored.RevokedAt.IsZero() {
		return false, err
	}
	_, err = t.Account(ctx, ended.Owner)
	if errors.Is(err, fault.ErrNotFound) || errors.Is(err, fault.ErrCorrupt) {
		return true, nil
	}
	return stored.Superseded(), err
}

// retirements date everything that names an ended token.
func (t *Table) retirements(ended token.Token) []types.TransactWriteItem {
	items := []types.TransactWriteItem{t.retirePointer(ended)}
	if ended.Kind.OfProject() {
		items = append(items, t.retireProjectPointer(ended))
	}
	if ended.Previous != 0 && !ended.Superseded() {
		items = append(items, t.retireFamily(ended))
	}
	return items
}

func (t *Table) retireProjectPointer(ended token.Token) types.TransactWriteItem {
	return t.update(projectPointerKey(ended.Project, ended.ID), "SET delete_after = :delete", "attribute_exists(pk)",
		item{":delete": epoch(ended.Ended().Add(t.opts.Retention))})
}

// removeNames frees the names of a deleted account and counts it.
func (t *Table) removeNames(u account.Account) []types.TransactWriteItem {
	const own = "attribute_not_exists(pk) OR uid = :uid"
	uid := item{":uid": number(int64(u.ID))}
	items := []types.TransactWriteItem{
		t.update(userSequenceKey(), "ADD gone :one", "attribute_exists(pk)", item{":one": number(1)}),
		t.remove(usernameKey(u.Username), own, uid),
	}
	if u.Email != "" {
		items = append(items, t.remove(emailKey(u.Email), own, uid))
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
