package sweep

import (
	"context"

	"latchkey/pkg/account"
	"latchkey/pkg/token"
)

// A due is an index entry and the slot it was found in.
type due struct {
	Entry
	slot slot
	// record is what the last look said; it has no id when that was nothing.
	record token.Token
}

// A group is everything of one owner that may be due, soonest first.
type group struct {
	owner account.ID
	dues  []due
}

// A stream reads one slot of the index, a page at a time.
type stream struct {
	slot  slot
	query Query
	page  []Entry
	ended bool
}

// A merger joins the streams of all slots by owner: they are all in the order
// of owners, so it holds one page of each and never a whole day.
type merger struct {
	index   Index
	streams []*stream
	counts  *Counts
}

func newMerger(index Index, slots []slot, shard int, after account.ID, counts *Counts) *merger {
	m := &merger{index: index, counts: counts}
	for _, s := range slots {
		m.streams = append(m.streams, &stream{
			slot: s, query: Query{Day: s.day, Shard: shard, Without: s.mark, After: after},
		})
	}
	return m
}

// next returns the next owner's group; ok is false after the last.
func (m *merger) next(ctx context.Context) (g group, ok bool, err error) {
	for _, s := range m.streams {
		head, there, err := m.head(ctx, s)
		if err != nil {
			return group{}, false, err
		}
		if owner := head.ID.Owner(); there && (!ok || owner < g.owner) {
			g.owner, ok = owner, true
		}
	}
	if !ok {
		return group{}, false, nil
	}
	for _, s := range m.streams {
		for {
			head, there, err := m.head(ctx, s)
			if err != nil {
				return group{}, false, err
			}
			if !there || head.ID.Owner() != g.owner {
				break
			}
			g.dues = append(g.dues, due{Entry: head, slot: s.slot})
			s.page = s.page[1:]
		}
	}
	return g, true, nil
}

// head returns the first entry of a stream that was not taken yet.
func (m *merger) head(ctx context.Context, s *stream) (Entry, bool, error) {
	for len(s.page) == 0 && !s.ended {
		page, err := m.index.Due(ctx, s.query)
		if err != nil {
			return Entry{}, false, err
		}
		m.counts.Examined += len(page.Entries) + page.Malformed
		m.counts.skip(malformed, page.Malformed)
		s.page, s.query.Next, s.ended = page.Entries, page.Next, page.Next == ""
	}
	if len(s.page) == 0 {
		return Entry{}, false, nil
	}
	return s.page[0], true, nil
}
