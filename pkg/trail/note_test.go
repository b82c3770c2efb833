package trail_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"latchkey/pkg/audit"
	"latchkey/pkg/token"
	"latchkey/pkg/trail"
)

var now = time.Date(2026, 3, 19, 8, 0, 0, 0, time.UTC)

// A recorder keeps events, or fails with err.
type recorder struct {
	events []audit.Event
	err    error
}

func (r *recorder) Record(_ context.Context, events ...audit.Event) error {
	if r.err == nil {
		r.events = append(r.events, events...)
	}
	return r.err
}

func refusal(presented token.ID, name audit.Name, after time.Duration) audit.Event {
	return audit.Event{Name: name, At: now.Add(after), Origin: audit.Origin{Presented: presented}}
}

// Breaks if somebody can fill the trail with refusals, or if the trail does not say how many there
// were.
func TestRefusalsAreRecordedOnceAMinute(t *testing.T) {
	into := &recorder{}
	notes := trail.NewNotes(into)
	for _, step := range []struct {
		name    string
		event   audit.Event
		omitted int // -1 if it is not recorded
	}{
		{"the first one", refusal(1, audit.SudoRefused, 0), 0},
		{"another at once", refusal(1, audit.SudoRefused, 0), -1},
		{"of another kind", refusal(1, audit.TokenRefused, 0), 0},
		{"to another token", refusal(2, audit.SudoRefused, 0), 0},
		{"a second early", refusal(1, audit.SudoRefused, 59*time.Second), -1},
		{"after a minute", refusal(1, audit.SudoRefused, time.Minute), 2},
		{"nothing was left out since", refusal(1, audit.SudoRefused, 2*time.Minute), 0},
		{"of the other kind after an hour", refusal(1, audit.TokenRefused, time.Hour), 0},
		{"a clock that went backwards", refusal(1, audit.SudoRefused, -time.Hour), 0},
	} {
		before := len(into.events)
		if err := notes.Refusal(t.Context(), step.event); err != nil {
			t.Fatal(err)
		}
		want := step.event
		want.Omitted = step.omitted
		switch recorded := into.events[before:]; {
		case step.omitted < 0 && len(recorded) > 0:
			t.Errorf("%s: recorded", step.name)
		case step.omitted >= 0 && !slices.Equal(recorded, []audit.Event{want}):
			t.Errorf("%s: %+v, want %+v", step.name, recorded, want)
		}
	}
}

// Breaks if an outage of the table loses the count, or if every refusal in it tries again.
func TestRefusalsThatCouldNotBeRecordedAreCounted(t *testing.T) {
	into := &recorder{err: errors.New("away")}
	notes := trail.NewNotes(into)
	for _, after := range []time.Duration{0, time.Minute} {
		if notes.Refusal(t.Context(), refusal(1, audit.SudoRefused, after)) == nil {
			t.Error("no error")
		}
		if err := notes.Refusal(t.Context(), refusal(1, audit.SudoRefused, after)); err != nil {
			t.Errorf("tried again at once: %v", err)
		}
	}
	into.err = nil
	if err := notes.Refusal(t.Context(), refusal(1, audit.SudoRefused, 2*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if len(into.events) != 1 || into.events[0].Omitted != 4 {
		t.Errorf("recorded %+v, want one that counts 4", into.events)
	}
}

func TestWhatIsNoRefusalIsAlwaysRecorded(t *testing.T) {
	into := &recorder{}
	notes := trail.NewNotes(into)
	for range 3 {
		if err := notes.Note(t.Context(), refusal(1, audit.SudoUsed, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if len(into.events) != 3 {
		t.Errorf("%d events, want 3", len(into.events))
	}
}

// Breaks if many tokens can silence the trail for others, or fill the memory.
func TestAFullTableOfRefusalsTakesNewcomers(t *testing.T) {
	into := &recorder{}
	notes := trail.NewNotes(into)
	const more = 5
	for i := range trail.MaxRefusalKinds + more {
		at := time.Duration(i) * time.Millisecond
		if err := notes.Refusal(t.Context(), refusal(token.ID(i), audit.SudoRefused, at)); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(into.events); got != trail.MaxRefusalKinds+more {
		t.Errorf("%d events of %d tokens", got, trail.MaxRefusalKinds+more)
	}
	if got := notes.Kinds(); got != trail.MaxRefusalKinds {
		t.Errorf("%d kinds are remembered, want %d", got, trail.MaxRefusalKinds)
	}
	for i, id := range []token.ID{more, more - 1} { // the oldest that is remembered, and the newest that is not
		before := len(into.events)
		if err := notes.Refusal(t.Context(), refusal(id, audit.SudoRefused, 20*time.Second)); err != nil {
			t.Fatal(err)
		}
		if got := len(into.events) > before; got != (i == 1) {
			t.Errorf("token %d: recorded %t", id, got)
		}
	}
}
