package store

import (
	"context"

	"latchkey/pkg/token"
)

// TokensOfResource implements lifecycle.BotStore: every token of a project or
// group by ascending id, those that were just made included. Pointers whose
// record clean-up has taken already are passed over.
func (t *Table) TokensOfResource(ctx context.Context, resource token.ResourceID) ([]token.Token, error) {
	pointers, err := t.pointers(ctx, resourcePartition(resource))
	if err != nil {
		return nil, err
	}
	return t.recordsOf(ctx, pointers)
}
