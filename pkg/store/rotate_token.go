package store

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/audit"
	"latchkey/pkg/principal"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// RotateToken implements lifecycle.Store: one transaction ends old, puts next
// and moves the family, so that exactly one of two rotations at once wins. The
// membership of a project's or group's bot moves its end to that of next.
func (t *Table) RotateToken(ctx context.Context, owner principal.User, old, next token.Token, use *secret.Use) (token.Token, error) {
	for attempt := 0; ; attempt++ {
		var err error
		if next, err = numbered(next, owner); err != nil {
			return token.Token{}, err
		}
		ended := old
		ended.RevokedAt, ended.RevokedReason = next.CreatedAt, token.ReasonRotated
		items := []types.TransactWriteItem{
			t.bumpNumber(owner),
			t.put(t.tokenItem(next), absent, nil),
			t.put(pointerItem(next), absent, nil),
			t.endRecord(ended),
			t.retirePointer(ended),
			t.put(familyItem(next), "", nil),
		}
		const endPosition, memberPosition, checkPosition = 3, 6, 7
		if next.Kind.OfResource() {
			items = append(items,
				t.update(memberKey(next.Resource, next.Owner), "SET expires_on = :on", "attribute_exists(pk)", item{":on": text(next.ExpiresOn.String())}),
				t.exists(resourceKey(next.Resource)),
				t.put(resourcePointerItem(next), absent, nil),
				t.retireResourcePointer(ended))
		}
		if use != nil {
			items = append(items, t.putUse(*use))
		}
		reasons, err := t.transact(audit.About(ctx, next.ID), items, t.recorded(next))
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
			return token.Token{}, token.ErrRevoked
		}
		if next.Kind.OfResource() && (failed(reasons, memberPosition) || failed(reasons, checkPosition)) {
			return token.Token{}, token.ErrNotFound
		}
		if err := pause(ctx, attempt); err != nil {
			return token.Token{}, err
		}
	}
}

// familyItem names the live token of next's rotation chain.
func familyItem(next token.Token) item {
	it := familyKey(next.Family)
	it["digest"] = text(next.Digest.Key())
	return it
}
