package store

import (
	"context"
	"fmt"

	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// Token returns the token with this id, through its owner's pointer, with two reads in a row.
// Absence is fault.ErrNotFound.
func (t *Reader) Token(ctx context.Context, id token.ID) (token.Token, error) {
	it, err := t.get(ctx, pointerKey(id))
	if err != nil {
		return token.Token{}, err
	}
	p, err := readPointer(it)
	if err != nil {
		return token.Token{}, err
	}
	tok, err := t.TokenByDigest(ctx, p.digest())
	if err == nil && tok.ID != id {
		return token.Token{}, fmt.Errorf("%w: pointer of token %s names another", fault.ErrCorrupt, id)
	}
	return tok, err
}

// TokenByDigest returns the token whose bearer has this digest, in any state. Absence is
// fault.ErrNotFound.
func (t *Reader) TokenByDigest(ctx context.Context, digest secret.Digest) (token.Token, error) {
	it, err := t.get(ctx, tokenKey(digest))
	if err != nil {
		return token.Token{}, err
	}
	return readToken(it)
}

// TokensByDigest returns the existing tokens, in any state and in no order. The digests must
// differ. It skips malformed records.
func (t *Reader) TokensByDigest(ctx context.Context, digests []secret.Digest) ([]token.Token, error) {
	var tokens []token.Token
	err := t.Tokens(ctx, digests, func(tok token.Token, err error) {
		if err != nil {
			t.passOver(err)
			return
		}
		tokens = append(tokens, tok)
	})
	if err != nil {
		return nil, err
	}
	return tokens, nil
}

// TokensByID passes the existing records of ids to each, in no order: two rows of batches, of pointers
// and of records. For an unreadable one it passes only fault.ErrCorrupt.
func (t *Reader) TokensByID(ctx context.Context, ids []token.ID, each func(token.Token, error)) error {
	keys := make([]key, len(ids))
	for i, id := range ids {
		keys[i] = pointerKey(id)
	}
	items, err := t.getBatch(ctx, keys)
	if err != nil {
		return err
	}
	var digests []secret.Digest
	for _, it := range items {
		p, err := readPointer(it)
		if err != nil {
			each(token.Token{}, err)
			continue
		}
		digests = append(digests, p.digest())
	}
	return t.Tokens(ctx, digests, each)
}
