package store

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/settings"
)

// RaiseValidFrom revokes every token of an account whose number is below another, and ends its sessions,
// in one write of its profile. If they are revoked already, it writes nothing.
func (t *Table) RaiseValidFrom(ctx context.Context, id account.ID, from int64, revoked audit.Event) error {
	return t.updateAccount(ctx, id, "SET tokens_valid_from = :number ADD session_number :one",
		"tokens_valid_from < :number AND next_number >= :number", nil,
		item{":number": number(from), ":one": number(1)}, revoked,
		func(u account.Account) bool { return u.TokensValidFrom >= from })
}

// TightenSettings replaces the settings of the previous revision, in what a restore may change: the
// instants from which tokens and sessions count, whether expiry counts, and whether impersonation works.
// It names no attributes but theirs, to which the function's permission is limited.
func (t *Table) TightenSettings(ctx context.Context, s settings.Application, changed []audit.Event) error {
	if err := checkEvents(changed...); err != nil {
		return err
	}
	condition, values := "attribute_not_exists(revision)", item{":revision": number(s.Revision)}
	if s.Revision > 1 {
		condition, values[":before"] = "revision = :before", number(s.Revision-1)
	}
	expression := "SET revision = :revision, expiry_ignored = :ignored, impersonation_off = :off"
	values[":ignored"], values[":off"] = boolean(s.ExpiryIgnored), boolean(s.ImpersonationOff)
	if !s.TokensFrom.IsZero() {
		expression, values[":tokens"] = expression+", tokens_from = :tokens", epoch(s.TokensFrom)
	}
	if !s.SessionsFrom.IsZero() {
		expression, values[":sessions"] = expression+", sessions_from = :sessions", epoch(s.SessionsFrom)
	}
	update := t.update(settingsKey(), expression, condition, values)
	reasons, err := t.transact(ctx, []types.TransactWriteItem{update}, changed, func(ctx context.Context) (bool, error) {
		stored, err := t.Settings(ctx)
		return stored.Revision == s.Revision && stored.TokensFrom.Equal(s.TokensFrom) && stored.SessionsFrom.Equal(s.SessionsFrom) &&
			stored.ExpiryIgnored == s.ExpiryIgnored && stored.ImpersonationOff == s.ImpersonationOff, err
	})
	if err == nil && reasons != nil {
		return fault.ErrMoved
	}
	return err
}

// LowerMember changes the level and the last day of a member that still equals before. It updates the
// item, because a function that puts members could make some.
func (t *Table) LowerMember(ctx context.Context, before, after project.Member, lowered []audit.Event) error {
	if err := checkEvents(lowered...); err != nil {
		return err
	}
	condition, names, values := unchanged(before)
	it := memberItem(after)
	values[":lower"], values[":ends"] = it["level"], it["expires_on"]
	change := t.update(memberKey(before.Project, before.Account), "SET #level = :lower, expires_on = :ends", condition, values)
	change.Update.ExpressionAttributeNames = names
	return t.writeMember(ctx, []types.TransactWriteItem{change}, project.Member{}, lowered, t.holds(after))
}
