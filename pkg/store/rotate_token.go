package store

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// RotateToken replaces a token. One transaction revokes old, at once or at its WorksUntil, writes
// next and moves the family, so that exactly one of two concurrent rotations wins. A token in its
// overlap leaves the expiry index, because only its successor's expiry matters to the owner. The
// membership of a bot gets the last day of next.
func (t *Table) RotateToken(ctx context.Context, owner account.Account, old, next token.Token, use *secret.Use, rotated audit.Event) (token.Token, error) {
	if err := checkEvents(rotated); err != nil {
		return token.Token{}, err
	}
	t = t.retaining(ctx, next.CreatedAt)
	for attempt := 0; ; attempt++ {
		var err error
		if next, err = numbered(next, owner); err != nil {
			return token.Token{}, err
		}
		replaced := old
		if replaced.WorksUntil.IsZero() {
			replaced.RevokedAt, replaced.RevokedReason = next.CreatedAt, token.ReasonRotated
		}
		items := []types.TransactWriteItem{
			t.bumpNumber(owner),
			t.put(t.tokenItem(next), absent, nil),
			t.put(pointerItem(next), absent, nil),
			t.replaceRecord(replaced, next),
			t.retirePointer(replaced),
			t.put(familyItem(next), "", nil),
		}
		const oldPosition, memberPosition, checkPosition = 3, 6, 7
		if next.Kind.OfProject() {
			items = append(items,
				t.update(memberKey(next.Project, next.Owner), "SET expires_on = :on", "attribute_exists(pk)", item{":on": text(next.ExpiresOn.String())}),
				t.exists(projectKey(next.Project)),
				t.put(projectPointerItem(next), absent, nil),
				t.retireProjectPointer(replaced))
		}
		items = append(append(items, t.enter(next)...), t.retireEntries(replaced, replaced.RevokedFrom())...)
		makerPosition, byAnother := len(items), next.Maker.ID != 0 && next.Maker.ID != old.ID
		items = append(items, t.makerItems(next)...)
		if use != nil {
			items = append(items, t.putUse(*use))
		}
		rotated.Token = next.ID
		reasons, err := t.transact(ctx, items, []audit.Event{rotated}, t.recorded(next))
		switch {
		case err != nil:
			return token.Token{}, err
		case reasons == nil:
			next.Maker = token.Maker{}
			return next, nil
		}
		if owner, err = afterRefusal(reasons, owner); err != nil {
			return token.Token{}, err
		}
		if use != nil && failed(reasons, len(items)-1) {
			return token.Token{}, token.ErrKeyUsed
		}
		if byAnother && failed(reasons, makerPosition) {
			return token.Token{}, token.ErrMakerEnded
		}
		if failed(reasons, oldPosition) {
			return token.Token{}, whyNotRotated(reasons[oldPosition].Item)
		}
		if next.Kind.OfProject() && (failed(reasons, memberPosition) || failed(reasons, checkPosition)) {
			return token.Token{}, fault.ErrNotFound
		}
		if err := pause(ctx, attempt); err != nil {
			return token.Token{}, err
		}
	}
}

// unreplaced is added to unrevoked for a record that must not have a successor with an overlap.
const unreplaced = " AND attribute_not_exists(works_until)"

// replaceRecord revokes the record of a token that gets a successor, at once or at its WorksUntil.
func (t *Table) replaceRecord(replaced, next token.Token) types.TransactWriteItem {
	if replaced.WorksUntil.IsZero() {
		return t.revokeLast(replaced)
	}
	set := "SET works_until = :at, superseded_at = :now, successor = :next, delete_after = :delete"
	values := item{
		":at":     epoch(replaced.WorksUntil),
		":now":    epoch(next.CreatedAt),
		":next":   number(int64(next.ID)),
		":delete": epoch(replaced.WorksUntil.Add(t.opts.Retention)),
	}
	if replaced.UntilUsed {
		set += ", until_used = :used"
		values[":used"] = boolean(true)
	}
	return t.update(tokenKey(replaced.Digest), set+" REMOVE expiry_bucket, expiry_order", unrevoked+unreplaced, values)
}

// whyNotRotated returns the reason why a token could not be rotated.
func whyNotRotated(it item) error {
	if old, err := readToken(it); err == nil && old.RotatedAway() {
		return token.ErrSuperseded
	}
	return token.ErrRevoked
}

// familyItem names the live token of next's rotation chain.
func familyItem(next token.Token) item {
	it := familyKey(next.Family)
	it["digest"] = text(next.Digest.Key())
	return it
}
