package store

import (
	"context"
	"fmt"

	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// Newest returns the newest token of the rotation chain that started with first. A token that was
// never rotated has no chain; the error is fault.ErrNotFound.
func (t *Reader) Newest(ctx context.Context, first token.ID) (token.Token, error) {
	it, err := t.get(ctx, familyKey(first))
	if err != nil {
		return token.Token{}, err
	}
	r := attributes{item: it}
	digest := secret.DigestFromKey(r.text("digest"))
	if r.err != nil {
		return token.Token{}, r.err
	}
	tok, err := t.TokenByDigest(ctx, digest)
	if err == nil && tok.Family != first {
		return token.Token{}, fmt.Errorf("%w: family %s names a token of another", fault.ErrCorrupt, first)
	}
	return tok, err
}
