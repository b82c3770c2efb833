package store

import (
	"context"

	"latchkey/pkg/secret"
)

// Use returns what is stored of an idempotency key. Absence is
// fault.ErrNotFound. Whether the use still stands is the caller's to ask:
// clean-up may lag for days.
func (t *Reader) Use(ctx context.Context, handle string) (secret.Use, error) {
	it, err := t.get(ctx, useKey(handle))
	if err != nil {
		return secret.Use{}, err
	}
	return readUse(it, handle)
}
