package store

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// CreateToken makes a token. It writes record, pointer, entries, the owner's next number and the use of the
// idempotency key together, and requires that no token has a digest of without: those of a chosen
// value under other generations of the pepper.
func (t *Table) CreateToken(ctx context.Context, owner account.Account, tok token.Token, use *secret.Use, issued audit.Event, without ...secret.Digest) (token.Token, error) {
	if err := checkEvents(issued); err != nil {
		return token.Token{}, err
	}
	if tok.Life > 0 {
		t = t.retaining(ctx, tok.CreatedAt)
	}
	for attempt := 0; ; attempt++ {
		var err error
		if tok, err = numbered(tok, owner); err != nil {
			return token.Token{}, err
		}
		items := []types.TransactWriteItem{
			t.bumpNumber(owner),
			t.put(t.tokenItem(tok), absent, nil),
			t.put(t.shortened(pointerItem(tok), tok), absent, nil),
		}
		items = append(items, t.enter(tok)...)
		withoutPosition := len(items)
		for _, digest := range without {
			items = append(items, t.lacks(tokenKey(digest)))
		}
		makerPosition := len(items)
		items = append(items, t.makerItems(tok)...)
		if use != nil {
			items = append(items, t.putUse(*use))
		}
		issued.Token = tok.ID
		reasons, err := t.transact(ctx, items, []audit.Event{issued}, t.recorded(tok))
		switch {
		case err != nil:
			return token.Token{}, err
		case reasons == nil:
			tok.Maker = token.Maker{}
			return tok, nil
		}
		if owner, err = afterRefusal(reasons, owner); err != nil {
			return token.Token{}, err
		}
		for n := range without {
			if failed(reasons, withoutPosition+n) {
				return token.Token{}, fault.ErrTaken
			}
		}
		if use != nil && failed(reasons, len(items)-1) {
			return token.Token{}, token.ErrKeyUsed
		}
		if tok.Maker.ID != 0 && failed(reasons, makerPosition) {
			return token.Token{}, token.ErrMakerEnded
		}
		if err := pause(ctx, attempt); err != nil {
			return token.Token{}, err
		}
	}
}

// shortened gives the pointer of a token with a short life that nobody announces its clean-up time.
func (t *Table) shortened(pointer item, tok token.Token) item {
	if tok.Life > 0 && !tok.Announced() {
		pointer["delete_after"] = epoch(tok.ExpiresAt().Add(t.opts.Retention))
	}
	return pointer
}

// The positions of items in the transaction.
const (
	ownerPosition  = 0
	recordPosition = 1
)

func numbered(tok token.Token, owner account.Account) (token.Token, error) {
	id, err := token.NewID(owner.ID, owner.NextNumber)
	if err != nil {
		return token.Token{}, err
	}
	if tok.Previous == 0 {
		tok.Family = id
	}
	tok.ID = id
	return tok, nil
}

// bumpNumber takes the owner's next number. It requires that the owner is still active and that no
// bulk revocation has happened since the read, because that would miss the new token.
func (t *Table) bumpNumber(owner account.Account) types.TransactWriteItem {
	update := t.update(profileKey(owner.ID),
		"SET next_number = next_number + :one",
		"#state = :active AND next_number = :next AND tokens_valid_from = :valid_from",
		item{
			":one":        number(1),
			":active":     text(string(account.Active)),
			":next":       number(owner.NextNumber),
			":valid_from": number(owner.TokensValidFrom),
		})
	update.Update.ExpressionAttributeNames = map[string]string{"#state": "state"}
	return update
}

// recorded reads whether the transaction that makes tok was committed.
func (t *Reader) recorded(tok token.Token) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		stored, err := t.TokenByDigest(ctx, tok.Digest)
		return sameToken(stored, tok), err
	}
}

// sameToken reports whether the request that makes tok made stored. Another request may have taken
// a chosen value.
func sameToken(stored, tok token.Token) bool {
	return stored.ID == tok.ID && stored.Kind == tok.Kind && stored.Name == tok.Name &&
		stored.Description == tok.Description && slices.Equal(stored.Scopes, tok.Scopes) &&
		stored.CreatedAt.Equal(tok.CreatedAt) && stored.CreatedBy == tok.CreatedBy &&
		stored.ExpiresOn == tok.ExpiresOn && stored.Life == tok.Life && stored.Previous == tok.Previous &&
		stored.Parent == tok.Parent && stored.Project == tok.Project && stored.Level == tok.Level &&
		slices.Equal(stored.Networks, tok.Networks)
}

// afterRefusal interprets the refusal of a transaction that makes a token. It returns the owner for
// the next try, or the error to return.
func afterRefusal(reasons []types.CancellationReason, owner account.Account) (account.Account, error) {
	if failed(reasons, recordPosition) {
		return owner, fault.ErrTaken
	}
	if !failed(reasons, ownerPosition) {
		return owner, nil
	}
	if len(reasons[ownerPosition].Item) == 0 {
		return owner, fault.ErrNotFound
	}
	fresh, err := readProfile(reasons[ownerPosition].Item)
	if err != nil {
		return owner, err
	}
	if err := fresh.Usable(); err != nil {
		return owner, err
	}
	if fresh.TokensValidFrom != owner.TokensValidFrom {
		return owner, fault.ErrMoved
	}
	return fresh, nil
}

// putUse stores the use of an idempotency key. It replaces an expired use that clean-up has not
// taken yet.
func (t *Table) putUse(use secret.Use) types.TransactWriteItem {
	put := t.put(useItem(use), "attribute_not_exists(pk) OR #at <= :ended",
		item{":ended": epoch(use.At.Add(-secret.UseLife))})
	put.Put.ExpressionAttributeNames = map[string]string{"#at": "at"}
	return put
}
