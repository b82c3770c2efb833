package clock_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/pkg/clock"
)

func TestFake(t *testing.T) {
	noon := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name string
		move func(*clock.Fake)
		want time.Time
	}{
		{"stands still until it is moved", func(*clock.Fake) {}, noon},
		{"moves forwards", func(f *clock.Fake) { f.Advance(90 * time.Second) }, noon.Add(90 * time.Second)},
		{"moves backwards", func(f *clock.Fake) { f.Advance(-time.Second) }, noon.Add(-time.Second)},
		{"cuts to whole seconds", func(f *clock.Fake) { f.Set(noon.Add(1999 * time.Millisecond)) }, noon.Add(time.Second)},
		{"cuts downwards before 1970", func(f *clock.Fake) { f.Set(time.Date(1969, 12, 31, 23, 59, 58, 1, time.UTC)) },
			time.Date(1969, 12, 31, 23, 59, 58, 0, time.UTC)},
		{"turns every zone to UTC", func(f *clock.Fake) { f.Set(noon.In(time.FixedZone("", 5*3600+1800))) }, noon},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fake := clock.NewFake(noon)
			test.move(fake)
			if got := fake.Now(); got != test.want {
				t.Errorf("Now() = %v, want %v", got, test.want)
			}
		})
	}
}

func TestSystemTellsWholeSecondsInUTC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := clock.System{}.Now()
		time.Sleep(1999 * time.Millisecond) // sleep: bubble time, up to just before a second
		if got, want := (clock.System{}).Now(), start.Add(time.Second); got != want {
			t.Errorf("after 1.999 s Now() = %v, want %v", got, want)
		}
		if start.Location() != time.UTC {
			t.Errorf("zone = %v, want UTC", start.Location())
		}
	})
}

// Breaks if a function uses up the time in which it has to answer.
func TestEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		early, stop := clock.Early(ctx, 20*time.Second)
		defer stop()
		if end, limited := early.Deadline(); !limited || time.Until(end) != 40*time.Second {
			t.Errorf("ends at %v, %t", end, limited)
		}
		endless, stopEndless := clock.Early(t.Context(), time.Second)
		defer stopEndless()
		if _, limited := endless.Deadline(); limited {
			t.Error("an endless context got an end")
		}
	})
}
