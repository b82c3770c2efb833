package listing_test

import (
	"errors"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"latchkey/pkg/listing"
)

// pick walks over the numbers below size, of which every nth matches, from a place on.
func pick(want listing.Want, size, nth int) (listing.Part[int], int, error) {
	return pickUntil(want, size, nth, func(*listing.Picker[int]) bool { return false })
}

// pickUntil does the same, and may leave a rest.
func pickUntil(want listing.Want, size, nth int, enough func(*listing.Picker[int]) bool) (listing.Part[int], int, error) {
	from := 0
	if want.Place != "" {
		from, _ = strconv.Atoi(want.Place)
	}
	p, examined := listing.NewPicker[int](want), 0
	for n := from; n < size; n++ {
		if enough(p) {
			part, err := p.Part(true)
			return part, examined, err
		}
		examined++
		if !p.Take(n, strconv.Itoa(n+1), n%nth == 0) {
			break
		}
	}
	part, err := p.Part(false)
	return part, examined, err
}

func matches(size, nth int) (all []int) {
	for n := 0; n < size; n += nth {
		all = append(all, n)
	}
	return all
}

// Breaks if a client that follows places misses an entry, sees one twice, or never gets to the end; and if
// a part by number is another one than counting leads to.
func TestEveryEntryIsInOnePart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		size, nth := rapid.IntRange(0, 5000).Draw(r, "size"), rapid.IntRange(1, 3000).Draw(r, "nth")
		limit := rapid.IntRange(1, 100).Draw(r, "limit")
		enough := func(*listing.Picker[int]) bool { return false }
		if rapid.Bool().Draw(r, "the walk ends with a full part") { // without a look at what follows
			enough = (*listing.Picker[int]).Full
		}
		var seen []int
		for want := (listing.Want{Limit: limit, ByPlace: true}); ; {
			part, examined, err := pickUntil(want, size, nth, enough)
			if from, _ := strconv.Atoi(want.Place); len(part.Entries) == limit && from+examined > part.Entries[limit-1]+2 {
				r.Fatalf("%d examined, although the part was full at %d", examined, part.Entries[limit-1])
			}
			if err != nil || len(part.Entries) > limit || examined > listing.MaxByPlace {
				r.Fatalf("%d of %d, %d examined, %v", len(part.Entries), limit, examined, err)
			}
			seen = append(seen, part.Entries...)
			if part.Next == "" {
				break
			}
			if part.Next == want.Place {
				r.Fatal("a part leads to itself")
			}
			want.Place = part.Next
		}
		all := matches(size, nth)
		if !slices.Equal(seen, all) {
			r.Fatalf("by place: %v, want %v", seen, all)
		}
		offset := rapid.IntRange(0, len(all)+1).Draw(r, "offset")
		part, _, err := pick(listing.ByNumber(offset, limit), size, nth)
		start := min(offset, len(all))
		if err != nil || !slices.Equal(part.Entries, all[start:min(start+limit, len(all))]) || (part.Next != "") != (offset+limit < len(all)) {
			r.Fatalf("by number: %+v, %v", part, err)
		}
		if part.Next != "" {
			behind, _, err := pick(listing.Want{Limit: 1, ByPlace: true, Place: part.Next}, size, 1)
			if err != nil || behind.Entries[0] != all[offset+limit-1]+1 {
				r.Fatalf("behind the part: %+v, %v", behind, err)
			}
		}
	})
}

// Breaks if a part by number looks through a whole table, or if a list that ends early looks complete.
func TestAPartByNumberExaminesSoManyEntries(t *testing.T) {
	t.Parallel()
	const size, nth = 100_000, 6000
	part, examined, err := pick(listing.ByNumber(0, 20), size, nth)
	if err != nil || len(part.Entries) != 2 || part.Next != strconv.Itoa(examined) || examined != listing.MaxByNumber+2 {
		t.Errorf("page 1: %+v after %d, %v", part, examined, err)
	}
	if _, _, err := pick(listing.ByNumber(20, 20), size, nth); !errors.Is(err, listing.ErrDeep) {
		t.Errorf("page 2: %v", err)
	}
	// Entries that match cost nothing but themselves.
	if part, _, err := pick(listing.ByNumber(listing.MaxOffset, 20), size, 1); err != nil || part.Entries[0] != listing.MaxOffset {
		t.Errorf("the last page: %+v, %v", part, err)
	}
}
