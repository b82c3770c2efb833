package store

import (
	"context"

	"latchkey/pkg/project"
	"latchkey/pkg/token"
)

// TokensOfProject returns every token of a project or group by ascending id, including the newest.
// It skips pointers whose record clean-up has taken.
func (t *Reader) TokensOfProject(ctx context.Context, pid project.ID) ([]token.Token, error) {
	pointers, err := t.pointers(ctx, projectPartition(pid))
	if err != nil {
		return nil, err
	}
	return t.recordsOf(ctx, pointers)
}
