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

// CreateToken makes a token: record, pointer, the owner's next
// number and the use of the idempotency key are written together.
func (t *Table) CreateToken(ctx context.Context, owner account.Account, tok token.Token, use *secret.Use, issued audit.Event) (token.Token, error) {
	if err := checkEvents(issued); err != nil {
		return token.Token{}, err
	}
	for attempt := 0; ; attempt++ {
		var err error
		if tok, err = numbered(tok, owner); err != nil {
			return token.Token{}, err
		}
		items := []types.TransactWriteItem{
			t.bumpNumber(owner),
			t.put(t.tokenItem(tok), absent, nil),
			t.put(pointerItem(tok), absent, nil),
		}
		if use != nil {
			items = append(items, t.putUse(*use))
		}
		issued.Token = tok.ID
		reasons, err := t.transact(ctx, items, []audit.Event{issued}, t.recorded(tok))
		switch {
		case err != nil:
			return token.Token{}, err
		case reasons == nil:
			return tok, nil
		}
		if owner, err = afterRefusal(reasons, owner); err != nil {
			return token.Token{}, err
		}
		if use != nil && failed(reasons, len(items)-1) {
			return token.Token{}, token.ErrKeyUsed
		}
		if err := pause(ctx, attempt); err != nil {
			return token.Token{}, err
		}
	}
}

// The positions in a transaction that makes a token.
const (
	ownerPosition  = 0
	recordPosition = 1
)

// numbered gives tok the owner's next id.
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

// bumpNumber takes the owner's next number under the condition that the owner
// is as it was seen: active, and with no bulk revocation in between, which
// would otherwise miss the token that is being made.
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

// recorded reads whether the transaction that makes tok took place.
func (t *Reader) recorded(tok token.Token) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		stored, err := t.TokenByDigest(ctx, tok.Digest)
		return sameToken(stored, tok), err
	}
}

// sameToken reports whether stored was made by the request that makes tok: a
// chosen value may have been taken by another.
func sameToken(stored, tok token.Token) bool {
	return stored.ID == tok.ID && stored.Kind == tok.Kind && stored.Name == tok.Name &&
		stored.Description == tok.Description && slices.Equal(stored.Scopes, tok.Scopes) &&
		stored.CreatedAt.Equal(tok.CreatedAt) && stored.CreatedBy == tok.CreatedBy &&
		stored.ExpiresOn == tok.ExpiresOn && stored.Previous == tok.Previous &&
		stored.Project == tok.Project && stored.Level == tok.Level &&
		slices.Equal(stored.Networks, tok.Networks)
}

// afterRefusal reads why a transaction that makes a token was refused. It
// returns the owner to try again with, or the error that ends the attempt.
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

// putUse stores the use of an idempotency key, over one whose life is over
// but which clean-up has not taken yet.
func (t *Table) putUse(use secret.Use) types.TransactWriteItem {
	put := t.put(useItem(use), "attribute_not_exists(pk) OR #at <= :ended",
		item{":ended": epoch(use.At.Add(-secret.UseLife))})
	put.Put.ExpressionAttributeNames = map[string]string{"#at": "at"}
	return put
}
