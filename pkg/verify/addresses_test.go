package verify_test

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"latchkey/pkg/fault"
)

func addresses(texts ...string) (list []netip.Addr) {
	for _, text := range texts {
		list = append(list, netip.MustParseAddr(text))
	}
	return list
}

// Breaks if the owner of a token cannot see where it was used from, or somebody
// who comes from many addresses makes every check a write.
func TestAddressesOfUses(t *testing.T) {
	const a, b = "192.0.2.1", "2001:db8::1"
	minute := time.Minute
	full := []string{"192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14", "192.0.2.15"}
	for _, test := range []struct {
		name  string
		ago   time.Duration // since the last use that was recorded; 0 for never
		known []string
		from  string // "" for not known
		want  []string
		marks bool
		since time.Duration // how old an earlier use has to be for the write
	}{
		{"the first", 0, nil, a, []string{a}, true, minute},
		{"a second one a second less than a minute later", minute - time.Second, []string{a}, b, nil, false, 0},
		{"a second one a minute later", minute, []string{a}, b, []string{b, a}, true, minute},
		{"a second one long after", time.Hour, []string{a}, b, []string{b, a}, true, minute},
		{"the same a minute later", minute, []string{a}, a, nil, false, 0},
		{"the same a second less than an interval later", interval - time.Second, []string{a}, a, nil, false, 0},
		{"the same an interval later", interval, []string{a}, a, []string{a}, true, interval},
		{"one that is known already an interval later", interval, []string{a, b}, b, []string{b, a}, true, interval},
		{"one that is known already a minute later", minute, []string{a, b}, b, nil, false, 0},
		{"the same as IPv6", minute, []string{a}, "::ffff:" + a, nil, false, 0},
		{"the same with a zone", minute, []string{b}, b + "%eth0", nil, false, 0},
		{"a sixth one", minute, full, a, append([]string{a}, full[:4]...), true, minute},
		{"the last of five", interval, full, full[4], append([]string{full[4]}, full[:4]...), true, interval},
		{"not known, an interval later", interval, []string{a}, "", nil, true, interval},
		{"not known, a minute later", minute, []string{a}, "", nil, false, 0},
		{"the first of a token that was used before addresses were kept", minute, nil, a, []string{a}, true, minute},
		{"a new one by a clock that is behind", -minute, []string{a}, b, nil, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			if f.token.LastUsedIPs = addresses(test.known...); test.ago != 0 {
				f.token.LastUsedAt = noon.Add(-test.ago)
			}
			known := addresses(test.known...)
			var from netip.Addr
			if test.from != "" {
				from = netip.MustParseAddr(test.from)
			}
			if _, err := f.Verify(t.Context(), f.bearer, from); err != nil {
				t.Fatal(err)
			}
			var want []mark
			if test.marks {
				want = []mark{{noon, noon.Add(-test.since), addresses(test.want...)}}
			}
			if !reflect.DeepEqual(f.store.marks, want) {
				t.Errorf("recorded %v, want %v", f.store.marks, want)
			}
			if f.store.checks != 1 {
				t.Errorf("%d requests", f.store.checks)
			}
			if !reflect.DeepEqual(f.token.LastUsedIPs, known) {
				t.Errorf("the record that was read is %v now", f.token.LastUsedIPs)
			}
		})
	}
	t.Run("an interval below a minute holds for new ones too", func(t *testing.T) {
		f := newFixture(t)
		f.store.settings.LastUsedInterval = time.Second
		f.token.LastUsedAt, f.token.LastUsedIPs = noon.Add(-time.Second), addresses(a)
		if _, err := f.Verify(t.Context(), f.bearer, netip.MustParseAddr(b)); err != nil {
			t.Fatal(err)
		}
		if want := []mark{{noon, noon.Add(-time.Second), addresses(b, a)}}; !reflect.DeepEqual(f.store.marks, want) {
			t.Errorf("recorded %v, want %v", f.store.marks, want)
		}
	})
	t.Run("an address that cannot be recorded refuses nobody", func(t *testing.T) {
		f := newFixture(t)
		f.store.markUsed = func(context.Context) error { return fault.ErrUnavailable }
		if _, err := f.Verify(t.Context(), f.bearer, netip.MustParseAddr(a)); err != nil || !errors.Is(f.unmarked[0], fault.ErrUnavailable) {
			t.Errorf("Verify() = %v, told of %v", err, f.unmarked)
		}
	})
}
