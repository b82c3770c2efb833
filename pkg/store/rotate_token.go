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

// RotateToken replaces a token: one transaction ends old, or says how
// long it works on, puts next and moves the family, so that exactly one of two
// rotations at once wins. A token in its overlap leaves the expiry index like
// one that has ended: its successor is what its owner has to know of. The
// membership of a project's or group's bot moves its end to that of next.
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
		ended := old
		if ended.WorksUntil.IsZero() {
			ended.RevokedAt, ended.RevokedReason = next.CreatedAt, token.ReasonRotated
		}
		items := []types.TransactWriteItem{
			t.bumpNumber(owner),
			t.put(t.tokenItem(next), absent, nil),
			t.put(pointerItem(next), absent, nil),
			t.replaceRecord(ended, next),
			t.retirePointer(ended),
			t.put(familyItem(next), "", nil),
		}
		const endPosition, memberPosition, checkPosition = 3, 6, 7
		if next.Kind.OfProject() {
			items = append(items,
				t.update(memberKey(next.Project, next.Owner), "SET expires_on = :on", "attribute_exists(pk)", item{":on": text(next.ExpiresOn.String())}),
				t.exists(projectKey(next.Project)),
				t.put(projectPointerItem(next), absent, nil),
				t.retireProjectPointer(ended))
		}
		if use != nil {
			items = append(items, t.putUse(*use))
		}
		rotated.Token = next.ID
		reasons, err := t.transact(ctx, items, []audit.Event{rotated}, t.recorded(next))
		switch {
		case err != nil:
			return token.Token{}, err
		case reasons == nil:
			return next, nil
		}
		if owner, err = afterRefusal(reasons, owner); err != nil {
			return token.Token{}, err
		}
		if use != nil && failed(reasons, len(items)-1) {
			return token.Token{}, token.ErrKeyUsed
		}
		if failed(reasons, endPosition) {
			return token.Token{}, whyEnded(reasons[endPosition].Item)
		}
		if next.Kind.OfProject() && (failed(reasons, memberPosition) || failed(reasons, checkPosition)) {
			return token.Token{}, fault.ErrNotFound
		}
		if err := pause(ctx, attempt); err != nil {
			return token.Token{}, err
		}
	}
}

// unreplaced is what unended goes on with where a record must not have a
// successor that it works beside.
const unreplaced = " AND attribute_not_exists(works_until)"

// replaceRecord ends the record of a token that gets a successor, at once or at
// its WorksUntil.
func (t *Table) replaceRecord(ended, next token.Token) types.TransactWriteItem {
	if ended.WorksUntil.IsZero() {
		return t.endLast(ended)
	}
	return t.update(tokenKey(ended.Digest),
		"SET works_until = :at, successor = :next, delete_after = :delete REMOVE expiry_bucket, expiry_order",
		unended+unreplaced,
		item{
			":at":     epoch(ended.WorksUntil),
			":next":   number(int64(next.ID)),
			":delete": epoch(ended.WorksUntil.Add(t.opts.Retention)),
		})
}

// whyEnded reads what kept a token from being rotated.
func whyEnded(it item) error {
	if old, err := readToken(it); err == nil && old.RevokedAt.IsZero() && !old.WorksUntil.IsZero() {
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
