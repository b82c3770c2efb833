package store

import (
	"context"

	"latchkey/pkg/secret"
)

// Use returns the stored use of an idempotency key. Absence is fault.ErrNotFound. The caller checks
// whether the use is still valid, because clean-up may lag for days.
func (t *Reader) Use(ctx context.Context, handle string) (secret.Use, error) {
	it, err := t.get(ctx, useKey(handle))
	if err != nil {
		return secret.Use{}, err
	}
	return readUse(it, handle)
}
