package sweep

import (
	"context"
	"iter"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// An Index finds tokens that may be due. It may lag behind the records.
type Index interface {
	Due(ctx context.Context, q Query) (Page, error)
}

// A Query asks the expiry index for one day of one shard.
type Query struct {
	Day   clock.Day
	Shard int
	// Bots asks for tokens whose bots are to be removed on Day, instead of tokens that expire on
	// it.
	Bots bool
	// Without excludes tokens that carry this mark, unless it is "".
	Without string
	// After excludes owners up to and including this one.
	After account.ID
	// Next is the previous page's Next, or "" for the first page.
	Next string
}

// A Page of the expiry index, by ascending owner and id.
type Page struct {
	Entries []Entry
	// Malformed counts unreadable entries.
	Malformed int
	// Next requests the following page; "" after the last.
	Next string
}

// An Entry of the expiry index names a token that may be due.
type Entry struct {
	ID     token.ID
	Digest secret.Digest
}

// due yields the tokens that may be due in a window, owner by owner. All days are in the order of
// owners, so it holds only one page of each.
func (a *attempt) due(ctx context.Context, window []slot) iter.Seq2[holding, error] {
	streams := make([]*stream, len(window))
	for i, s := range window {
		streams[i] = &stream{slot: s, query: Query{Day: s.day, Shard: a.job.Shard, Without: s.mark, After: a.cursor}}
	}
	return func(yield func(holding, error) bool) {
		for {
			var h holding
			for _, s := range streams {
				owner, err := a.head(ctx, s)
				if err != nil {
					yield(h, err)
					return
				}
				if h.owner.ID == 0 || owner != 0 && owner < h.owner.ID {
					h.owner.ID = owner
				}
			}
			if h.owner.ID == 0 {
				return
			}
			for _, s := range streams {
				for {
					owner, err := a.head(ctx, s)
					if err != nil {
						yield(h, err)
						return
					}
					if owner != h.owner.ID {
						break
					}
					h.dues = append(h.dues, due{Entry: s.page[0], slot: s.slot})
					s.page = s.page[1:]
				}
			}
			if !yield(h, nil) {
				return
			}
		}
	}
}

// A stream reads one day of the index, page by page.
type stream struct {
	slot  slot
	query Query
	page  []Entry // entries not taken yet
	ended bool
}

// head returns the owner of the next entry, or 0.
func (a *attempt) head(ctx context.Context, s *stream) (account.ID, error) {
	for len(s.page) == 0 && !s.ended {
		page, err := a.page(ctx, s.query)
		if err != nil {
			return 0, err
		}
		s.page, s.query.Next, s.ended = page.Entries, page.Next, page.Next == ""
	}
	if len(s.page) == 0 {
		return 0, nil
	}
	return s.page[0].ID.Owner(), nil
}

func (a *attempt) page(ctx context.Context, q Query) (Page, error) {
	page, err := a.Index.Due(ctx, q)
	if err == nil {
		a.counts.Examined += len(page.Entries) + page.Malformed
		a.counts.skip(malformed, page.Malformed)
	}
	return page, err
}
