package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/token"
)

// DirectoryComplete reports whether every token has its entries, so that WalkTokens misses none. It asks
// until that is so, and then no more.
func (t *Reader) DirectoryComplete(ctx context.Context) (bool, error) {
	if t.complete.Load() {
		return true, nil
	}
	_, err := t.get(ctx, directoryCompleteKey())
	switch {
	case err == nil:
		t.complete.Store(true)
		return true, nil
	case errors.Is(err, fault.ErrNotFound):
		return false, nil
	default:
		return false, err
	}
}

// WalkTokens passes the tokens of all owners to each, until that returns false, with their owners, of whom
// it keeps only the id, Admin and TokensValidFrom. It reads from all parts of the order at first, then
// from those that come next, so its cost grows with what it passes on and not with the table. A token
// without entries is missing; see DirectoryComplete.
func (t *Reader) WalkTokens(ctx context.Context, w token.Walk, each func(token.Token, account.Account) bool) (token.Walked, error) {
	span := token.Span{}
	switch w.Order {
	case token.ByCreation:
		span = w.Created
	case token.ByExpiry:
		span = w.Ends
	}
	m := merge[entry]{before: beforeIn(w)}
	for shard := range directoryShards {
		m.strands = append(m.strands, t.strand(w, directoryPartition(w.Order, shard), "", span, shareOf(w.Skip+w.First, directoryShards)))
	}
	return t.follow(ctx, &m, w, map[account.ID]account.Account{}, each)
}

// WalkOwner does the same with the tokens of one owner, and needs no entries. In the order of ids it reads
// the pointers of what it passes on, unless they are to be counted; otherwise it reads all pointers.
func (t *Reader) WalkOwner(ctx context.Context, owner account.ID, w token.Walk, each func(token.Token) bool) (token.Walked, error) {
	ignoring := func(tok token.Token, _ account.Account) bool { return each(tok) }
	if w.Order == token.ByID && !w.Count && w.Created == (token.Span{}) && w.Ends == (token.Span{}) {
		m := merge[entry]{beforeIn(w), []*strand[entry]{t.strand(w, accountPartition(owner), tokenPrefix, token.Span{}, shareOf(w.Skip+w.First, 1))}}
		return t.follow(ctx, &m, w, nil, ignoring)
	}
	all, err := t.entriesOf(ctx, owner, w)
	if err != nil {
		return token.Walked{}, err
	}
	behind := slices.DeleteFunc(slices.Clone(all), func(e entry) bool { return !w.Behind(e.place) })
	walked, err := t.follow(ctx, (*queue)(&behind), w, nil, ignoring)
	walked.Total, walked.Counted = len(all), true
	return walked, err
}

// entriesOf returns what a walk passes of an owner's tokens, in its order. Pointers from before they had
// dates take them from their records.
func (t *Reader) entriesOf(ctx context.Context, owner account.ID, w token.Walk) ([]entry, error) {
	attributes, dates := "sk, digest, kind, delete_after", w.Order != token.ByID || w.Created != token.Span{} || w.Ends != token.Span{}
	if dates {
		attributes += ", created_at, ends_at"
	}
	items, err := t.pointerItems(ctx, accountPartition(owner), attributes)
	if err != nil {
		return nil, err
	}
	var entries []entry
	var undated []key
	created, ends := map[token.ID]int64{}, map[token.ID]int64{}
	for _, it := range items {
		e, some, err := readPlaced(token.ByID, it, w.Now)
		if err != nil {
			t.passOver(err)
		}
		if !some || !w.Passes(e.kind) {
			continue
		}
		if dates {
			var there bool
			if created[e.place.ID], ends[e.place.ID], there = pointerDates(it); !there {
				undated = append(undated, tokenKey(e.digest()))
			}
		}
		entries = append(entries, e)
	}
	records, err := t.getBatch(ctx, undated)
	if err != nil {
		return nil, err
	}
	for _, it := range records {
		tok, err := readToken(it)
		if err != nil {
			t.passOver(err)
			continue
		}
		created[tok.ID], ends[tok.ID] = token.ByCreation.PlaceOf(tok).At, token.ByExpiry.PlaceOf(tok).At
	}
	kept := entries[:0]
	for _, e := range entries {
		id := e.place.ID
		switch w.Order {
		case token.ByCreation:
			e.place.At = created[id]
		case token.ByExpiry:
			e.place.At = ends[id]
		}
		if w.Created.Holds(created[id]) && w.Ends.Holds(ends[id]) {
			kept = append(kept, e)
		}
	}
	slices.SortFunc(kept, func(a, b entry) int { return a.place.Compare(b.place) })
	if w.Descending {
		slices.Reverse(kept)
	}
	return kept, nil
}

// A source has entries in an order.
type source interface {
	// next returns the next entry, if there is some.
	next(ctx context.Context) (e entry, some bool, err error)
	// more reports whether there is another entry.
	more(ctx context.Context) (bool, error)
}

// follow reads the records of entries and passes them on. Unless it is nil, owners has those that are known
// already, and the walk adds the others.
func (t *Reader) follow(ctx context.Context, from source, w token.Walk, owners map[account.ID]account.Account, each func(token.Token, account.Account) bool) (token.Walked, error) {
	walked := token.Walked{}
	for ; walked.Total < w.Skip; walked.Total++ {
		if _, some, err := from.next(ctx); err != nil || !some {
			walked.Counted = w.After == nil
			return walked, err
		}
	}
	for size, left := w.First, w.Limit; ; size = maxBatchGet {
		var batch []entry
		for len(batch) < min(size, left) {
			e, some, err := from.next(ctx)
			if err != nil {
				return token.Walked{}, err
			}
			if !some {
				break
			}
			batch = append(batch, e)
		}
		if len(batch) == 0 {
			break
		}
		left -= len(batch)
		walked.Total += len(batch)
		tokens, err := t.recordsAt(ctx, w.Order, batch, owners)
		if err != nil {
			return token.Walked{}, err
		}
		for i, e := range batch {
			walked.Last = e.place
			if tok, there := tokens[e.place.ID]; there && !each(tok, owners[tok.Owner]) {
				if walked.More = i+1 < len(batch); walked.More {
					return walked, nil
				}
				left = 0
			}
		}
	}
	var err error
	walked.More, err = from.more(ctx)
	walked.Counted = !walked.More && w.After == nil
	return walked, err
}

// recordsAt reads the records of entries. Clean-up may have taken some, and one that belongs at another
// place is passed over.
func (t *Reader) recordsAt(ctx context.Context, o token.Order, batch []entry, owners map[account.ID]account.Account) (map[token.ID]token.Token, error) {
	at := map[string]token.Place{}
	var keys []key
	for _, e := range batch {
		if _, twice := at[e.stored]; !twice { // BatchGetItem refuses a key that comes twice
			at[e.stored] = e.place
			keys = append(keys, tokenKey(e.digest()))
		}
		owner := e.place.ID.Owner()
		if _, known := owners[owner]; !known && owners != nil {
			owners[owner] = account.Account{ID: owner, TokensValidFrom: account.Gone(owner).TokensValidFrom}
			keys = append(keys, profileKey(owner))
		}
	}
	items, err := t.getBatch(ctx, keys)
	if err != nil {
		return nil, err
	}
	tokens := map[token.ID]token.Token{}
	for _, it := range items {
		r := attributes{item: it}
		if r.text("sk") == profileSort {
			acct, err := readProfile(it)
			if err != nil {
				t.passOver(err)
				continue
			}
			owners[acct.ID] = account.Account{ID: acct.ID, Admin: acct.Admin, TokensValidFrom: acct.TokensValidFrom}
			continue
		}
		tok, err := readToken(it)
		if place, known := at[tok.Digest.Key()]; err == nil && (!known || place != o.PlaceOf(tok)) {
			err = fmt.Errorf("%w: entry of token %s names another place", fault.ErrCorrupt, tok.ID)
		}
		if err != nil {
			t.passOver(err)
			continue
		}
		tokens[tok.ID] = tok
	}
	return tokens, nil
}

// A queue is a source whose entries have been read.
type queue []entry

func (q *queue) next(context.Context) (e entry, some bool, err error) {
	if len(*q) == 0 {
		return entry{}, false, nil
	}
	e, *q = (*q)[0], (*q)[1:]
	return e, true, nil
}

func (q *queue) more(context.Context) (bool, error) { return len(*q) > 0, nil }

const (
	// leastStrand is the least number of entries that a query asks for. They cost one read unit, so fewer
	// would not be cheaper.
	leastStrand = 16
	// mostStrand is about what one request reads (DynamoDB: Query reads 1 MB).
	mostStrand = 8_000
)

// strand returns the part of a walk that is in one partition. About share of its entries will be passed on.
func (t *Reader) strand(w token.Walk, partition, prefix string, span token.Span, share int) *strand[entry] {
	if span == (token.Span{}) {
		span.To = token.Unending
	}
	from, to := token.Place{At: span.From}, token.Place{At: span.To, ID: maxPlaceID}
	switch {
	case w.After == nil:
	case w.Descending && w.After.Compare(to) <= 0:
		to = token.Place{At: w.After.At, ID: w.After.ID - 1}
	case !w.Descending && w.After.Compare(from) >= 0:
		from = token.Place{At: w.After.At, ID: w.After.ID + 1}
	}
	s := &strand[entry]{ask: t.client.Query, most: mostStrand, read: func(it item) (entry, bool) {
		e, some, err := readPlaced(w.Order, it, w.Now)
		if err != nil {
			t.passOver(err)
		}
		return e, some && w.Passes(e.kind)
	}}
	if from.Compare(to) > 0 {
		return s // the engine refuses an empty range
	}
	s.query = &dynamodb.QueryInput{
		TableName:              &t.name,
		KeyConditionExpression: aws.String("pk = :pk AND sk BETWEEN :from AND :to"),
		ExpressionAttributeValues: item{
			":pk": text(partition), ":from": text(prefix + placeSort(w.Order, from)), ":to": text(prefix + placeSort(w.Order, to)),
		},
		ConsistentRead:   aws.Bool(true),
		ScanIndexForward: aws.Bool(!w.Descending),
		Limit:            aws.Int32(int32(min(share+leastStrand, mostStrand))), //nolint:gosec // it is small
	}
	return s
}

// maxPlaceID has the 16 digits of a sort key.
const maxPlaceID token.ID = 9_999_999_999_999_999

// beforeIn returns the order of a walk.
func beforeIn(w token.Walk) func(a, b entry) bool {
	return func(a, b entry) bool { return a.place.Compare(b.place) < 0 != w.Descending }
}
