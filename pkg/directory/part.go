package directory

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"latchkey/pkg/listing"
)

// A place is where the part of a list ends: behind the entry with this id. In an order other than by id,
// key is what the order compares first.
type place struct {
	key string
	id  int64
}

func (p place) String() string {
	if p.key == "" {
		return strconv.FormatInt(p.id, 10)
	}
	return strconv.FormatInt(p.id, 10) + ":" + p.key
}

// placeOf reads a place. The zero place is the start of a list.
func placeOf(text string) (place, error) {
	if text == "" {
		return place{}, nil
	}
	number, key, _ := strings.Cut(text, ":")
	id, err := strconv.ParseInt(number, 10, 64)
	if p := (place{key, id}); err == nil && id > 0 && p.String() == text {
		return p, nil
	}
	return place{}, listing.ErrPlace
}

// An order compares the places of a list: by key, and then by id.
type order struct{ keyDescending, idDescending bool }

func (o order) compare(a, b place) int {
	key, id := cmp.Compare(a.key, b.key), cmp.Compare(a.id, b.id)
	if o.keyDescending {
		key = -key
	}
	if o.idDescending {
		id = -id
	}
	return cmp.Or(key, id)
}

// sorted returns a part of a list that has been read as a whole.
func sorted[T any](all []T, o order, at func(T) place, want listing.Want) (listing.Part[T], error) {
	behind, err := placeOf(want.Place)
	if err != nil {
		return listing.Part[T]{}, err
	}
	slices.SortFunc(all, func(a, b T) int { return o.compare(at(a), at(b)) })
	start := min(want.Offset, len(all))
	if want.Place != "" {
		start, _ = slices.BinarySearchFunc(all, behind, func(entry T, behind place) int {
			return cmp.Or(o.compare(at(entry), behind), -1) // the entry itself lies in front
		})
	}
	end := min(start+want.Limit, len(all))
	part := listing.Part[T]{Entries: all[start:end], Total: len(all)}
	if start < end && end < len(all) {
		part.Next = at(all[end-1]).String()
	}
	return part, nil
}

// chunk is how many entries a walk over ids reads in one request (DynamoDB: BatchGetItem takes 100
// keys).
const chunk = 100

// byID is a list in the order of ids, which are assigned without gaps. So any part of it can be found
// without an index. Those of deleted entries lie between the others.
type byID[T any] struct {
	first, last int64 // the highest id in front of the list, and the highest one in it
	ascending   bool
	key         string // of its places
	// read returns the existing entries with these ids.
	read    func(ctx context.Context, ids []int64) (map[int64]T, error)
	matches func(T) bool
	// over reports whether neither this entry nor any behind it matches; nil if nobody can tell.
	over func(T) bool
}

// as returns a list with the same ids, whose entries are of another type. It matches none yet.
func as[A, B any](l byID[A], convert func(A) B) byID[B] {
	return byID[B]{first: l.first, last: l.last, ascending: l.ascending, read: func(ctx context.Context, ids []int64) (map[int64]B, error) {
		found, err := l.read(ctx, ids)
		converted := make(map[int64]B, len(found))
		for id, entry := range found {
			converted[id] = convert(entry)
		}
		return converted, err
	}}
}

// start returns the first id to look at behind a place.
func (l byID[T]) start(behind place) int64 {
	switch {
	case l.ascending:
		return max(behind.id, l.first) + 1
	case behind.id == 0:
		return l.last
	default:
		return min(behind.id-1, l.last)
	}
}

// walk passes the entries from an id on to a picker, and reports whether it left some of them out.
func (l byID[T]) walk(ctx context.Context, from int64, picker *listing.Picker[T], whole bool) (rest bool, err error) {
	for size := max(1, min(picker.Missing(), chunk)); ; size = min(2*size, chunk) {
		ids := l.ids(from, size)
		if len(ids) == 0 {
			return false, nil
		}
		found, err := l.read(ctx, ids)
		if err != nil {
			return false, err
		}
		for _, id := range ids {
			entry, there := found[id]
			if there && l.over != nil && l.over(entry) {
				return false, nil
			}
			if !picker.Take(entry, place{l.key, id}.String(), there && l.matches(entry)) {
				return true, nil
			}
			from = id
		}
		from = l.start(place{id: from})
		if whole && picker.Full() {
			return len(l.ids(from, 1)) > 0, nil
		}
	}
}

// ids returns the next ids from one on, up to count of them.
func (l byID[T]) ids(from int64, count int) []int64 {
	var ids []int64
	for ; len(ids) < count && from > l.first && from <= l.last; from = l.start(place{id: from}) {
		ids = append(ids, from)
	}
	return ids
}

// every returns all matching entries.
func (l byID[T]) every(ctx context.Context) ([]T, error) {
	l.ascending = true
	found, err := l.read(ctx, l.ids(l.first+1, int(l.last)))
	if err != nil {
		return nil, err
	}
	var all []T
	for _, entry := range found {
		if l.matches(entry) {
			all = append(all, entry)
		}
	}
	return all, nil
}

// part returns a part of the list. A short one is counted, because a few requests read it.
func (l byID[T]) part(ctx context.Context, at func(T) place, want listing.Want) (listing.Part[T], error) {
	if !want.ByPlace && l.last-l.first <= listing.MaxByPlace {
		all, err := l.every(ctx)
		if err != nil {
			return listing.Part[T]{}, err
		}
		return sorted(all, order{idDescending: !l.ascending}, at, want)
	}
	behind, err := placeOf(want.Place)
	if err != nil {
		return listing.Part[T]{}, err
	}
	picker := listing.NewPicker[T](want)
	rest, err := l.walk(ctx, l.start(behind), picker, want.ByPlace)
	if err != nil {
		return listing.Part[T]{}, err
	}
	return picker.Part(rest && want.ByPlace)
}
