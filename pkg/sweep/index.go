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

// due yields the tokens that may be due from several streams, holder by holder. All streams are in
// the order of holders, so it holds only one page of each.
func (a *attempt) due(ctx context.Context, streams []*stream) iter.Seq2[holding, error] {
	return func(yield func(holding, error) bool) {
		for {
			var h holding
			for _, s := range streams {
				holder, err := s.head(ctx)
				if err != nil {
					yield(h, err)
					return
				}
				if h.owner.ID == 0 || holder != 0 && holder < h.owner.ID {
					h.owner.ID = holder
				}
			}
			if h.owner.ID == 0 {
				return
			}
			for _, s := range streams {
				for taken := 0; ; taken++ {
					holder, err := s.head(ctx)
					if err != nil {
						yield(h, err)
						return
					}
					if holder != h.owner.ID {
						break
					}
					if s.most == 0 || taken < s.most {
						h.dues = append(h.dues, s.page[0])
					}
					s.page = s.page[1:]
				}
			}
			if !yield(h, nil) {
				return
			}
		}
	}
}

// A stream reads tokens by ascending holder, page by page.
type stream struct {
	read  func(ctx context.Context, next string) (page []due, after string, err error)
	next  string
	page  []due // not taken yet
	ended bool
	most  int // tokens of one holder, 0 for any number
}

// head returns the holder of the next token, or 0.
func (s *stream) head(ctx context.Context) (account.ID, error) {
	for len(s.page) == 0 && !s.ended {
		page, next, err := s.read(ctx, s.next)
		if err != nil {
			return 0, err
		}
		s.page, s.next, s.ended = page, next, next == ""
	}
	if len(s.page) == 0 {
		return 0, nil
	}
	return s.page[0].holder, nil
}

// dueOn returns the streams of a window's days in the index.
func (a *attempt) dueOn(window []slot) (streams []*stream) {
	for _, day := range window {
		q := Query{Day: day.day, Shard: a.job.Shard, Without: day.mark, After: a.cursor}
		streams = append(streams, &stream{read: func(ctx context.Context, next string) ([]due, string, error) {
			q.Next = next
			page, err := a.page(ctx, q)
			dues := make([]due, len(page.Entries))
			for i, e := range page.Entries {
				dues[i] = due{Entry: e, slot: day, kind: a.Kind, holder: e.ID.Owner()}
			}
			return dues, page.Next, err
		}})
	}
	return streams
}

func (a *attempt) page(ctx context.Context, q Query) (Page, error) {
	page, err := a.Index.Due(ctx, q)
	if err == nil && (a.job.Kind == posting(a.Kind) || q.Bots) { // and not the same entries again
		a.counts.Examined += len(page.Entries) + page.Malformed
		a.counts.skip(malformed, page.Malformed)
	}
	return page, err
}
