package directory

import (
	"context"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/listing"
)

// skew is how far the clocks of two processes that make accounts may differ. So an account may have been
// created that much before one with a lower id.
const skew = time.Hour

// created returns a part of the accounts of a period. It looks for one end of the period among the ids, and
// stops at the other one.
func (d *Finder) created(ctx context.Context, list byID[account.Account], f Filter, want listing.Want) (listing.Part[account.Account], error) {
	none := listing.Part[account.Account]{}
	if list.last <= listing.MaxByPlace && !want.ByPlace {
		return list.part(ctx, Sort{}.place, want)
	}
	behind, err := placeOf(want.Place)
	if err != nil {
		return none, err
	}
	start := list.start(behind)
	after, before := f.CreatedAfter.Add(-skew), f.CreatedBefore.Add(skew)
	switch {
	case list.ascending:
		list.over = func(u account.Account) bool { return !f.CreatedBefore.IsZero() && u.CreatedAt.After(before) }
		if want.Place == "" && !f.CreatedAfter.IsZero() {
			below, _, err := d.bracket(ctx, list, after)
			if err != nil {
				return none, err
			}
			start = below + 1
		}
	default:
		list.over = func(u account.Account) bool { return u.CreatedAt.Before(after) }
		if want.Place == "" && !f.CreatedBefore.IsZero() {
			_, above, err := d.bracket(ctx, list, before)
			if err != nil {
				return none, err
			}
			start = above - 1
		}
	}
	picker := listing.NewPicker[account.Account](want)
	rest, err := list.walk(ctx, start, picker, want.ByPlace)
	if err != nil {
		return none, err
	}
	return picker.Part(rest && want.ByPlace)
}

// probes is how many accounts one step of bracket reads. Four steps find an instant among a million ids.
const probes = 32

// bracket returns two ids between which the first account lies that was created at an instant or later. All
// accounts up to below were created earlier, and all from above on not.
func (d *Finder) bracket(ctx context.Context, list byID[account.Account], at time.Time) (below, above int64, err error) {
	below, above = 0, list.last+1
	for above-below > probes {
		ids := make([]int64, probes)
		for i := range ids {
			ids[i] = below + (above-below)*int64(i+1)/(probes+1)
		}
		found, err := list.read(ctx, ids)
		if err != nil {
			return 0, 0, err
		}
		if len(found) == 0 { // all deleted
			return below, above, nil
		}
		for _, id := range ids {
			u, there := found[id]
			if there && !u.CreatedAt.Before(at) {
				above = id
				break
			}
			if there {
				below = id
			}
		}
	}
	return below, above, nil
}
