package store

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// A merge has the entries of several strands, each in the same order, in that order. It reads what is
// needed and little more: a strand is asked for more when all that it has given is used up.
type merge[E any] struct {
	before  func(a, b E) bool // whether a comes before b in the order
	strands []*strand[E]
}

// A strand has the entries of one partition.
type strand[E any] struct {
	ask   func(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	query *dynamodb.QueryInput // for what follows the page; nil if nothing is left
	most  int32                // the most items that a query asks for
	read  func(item) (e E, some bool)
	page  []item
	given int // how many items the last page had
	head  E
	ready bool // whether head is the next entry
}

// next returns the next entry, if there is some.
func (m *merge[E]) next(ctx context.Context) (e E, some bool, err error) {
	first, err := m.first(ctx)
	if first == nil || err != nil {
		return e, false, err
	}
	first.ready = false
	return first.head, true, nil
}

// more reports whether there is another entry.
func (m *merge[E]) more(ctx context.Context) (bool, error) {
	if slices.ContainsFunc(m.strands, func(s *strand[E]) bool { return s.ready }) {
		return true, nil
	}
	first, err := m.first(ctx)
	return first != nil, err
}

// first returns the strand that has the next entry, or nil.
func (m *merge[E]) first(ctx context.Context) (*strand[E], error) {
	var first *strand[E]
	for _, s := range m.strands {
		for !s.advance() && s.query != nil {
			if err := m.refill(ctx); err != nil {
				return nil, err
			}
		}
		if s.ready && (first == nil || m.before(s.head, first.head)) {
			first = s
		}
	}
	return first, nil
}

// refill asks the strand that has nothing left, and at the same time those that have used up half of what
// they gave: they come next, and one after the other would take longer.
func (m *merge[E]) refill(ctx context.Context) error {
	errs := make([]error, len(m.strands))
	var reading sync.WaitGroup
	for i, s := range m.strands {
		if s.query != nil && len(s.page) <= s.given/2 {
			reading.Go(func() { errs[i] = s.refill(ctx) })
		}
	}
	reading.Wait()
	return errors.Join(errs...)
}

// advance makes head the next entry, and reports whether the strand has one without asking for more.
func (s *strand[E]) advance() bool {
	for !s.ready && len(s.page) > 0 {
		s.head, s.ready = s.read(s.page[0])
		s.page = s.page[1:]
	}
	return s.ready
}

// refill asks for the next page. Each is larger than the one before, because more is needed than anybody
// has expected.
func (s *strand[E]) refill(ctx context.Context) error {
	out, err := s.ask(ctx, s.query)
	if err != nil {
		return translate(err)
	}
	s.page, s.given = append(s.page, out.Items...), len(out.Items)
	next := *s.query
	limit := min(2**next.Limit, s.most)
	next.ExclusiveStartKey, next.Limit = out.LastEvaluatedKey, &limit
	if s.query = &next; len(out.LastEvaluatedKey) == 0 {
		s.query = nil
	}
	return nil
}

// shareOf returns about how many of the next n entries come from one of so many strands, which are not
// even.
func shareOf(n, strands int) int {
	if strands == 1 {
		return n
	}
	return n * 5 / 4 / strands
}
