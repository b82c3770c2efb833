package web

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"latchkey/pkg/clock"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/scope"
)

// endsPath is the page that shows what ends when.
const endsPath = "/-/user_settings/token_calendar"

// endsDays is how far the page looks ahead, in days.
const endsDays = 60

// An endsPage shows what ends when.
type endsPage struct {
	Chart chart
	// Days are the days on which something ends, the text beside the chart.
	Days []endDay
	// Later is how many tokens end after the chart, and Endless how many never end.
	Later, Endless int
	Through        clock.Day
	// Feeds are the calendar tokens that work, and MayFeed whether there can be any.
	Feeds   []row
	MayFeed bool
}

// An endDay is a day on which tokens end.
type endDay struct {
	Day  clock.Day
	When moment
	Mark string
	Rows []row
}

// At is the instant at which they end.
func (d endDay) At() time.Time { return d.Day.Start() }

// Weekday is the day of the week.
func (d endDay) Weekday() string { return d.At().Weekday().String() }

// A chart is a drawing of days from left to right, one mark for each token that ends.
type chart struct {
	Width, Height, Base int
	Marks               []mark
	Ticks               []tick
	Label               string
}

type mark struct {
	X, Y  int
	Mark  string
	Title string
}

type tick struct {
	X    int
	Text string
	Long bool // with a label
}

// The chart's measures, in its own units.
const (
	chartMargin = 28
	chartDay    = 15
	chartRow    = 18
	chartMost   = 8 // marks above each other; more of a day are one number
)

func (s *Site) ends(v *visit) error {
	views, err := s.parts.Lister.AllOwn(v.ctx, v.by)
	if err != nil {
		return err
	}
	return v.render(http.StatusOK, "ends", "What ends when", s.endsOf(v, views))
}

func (s *Site) endsOf(v *visit, views []lifecycle.View) endsPage {
	today := clock.DayOf(v.now)
	page := endsPage{Through: today.AddDays(endsDays), MayFeed: s.parts.Issuer.Scopes().Knows(feedScopes)}
	byDay := map[clock.Day]*endDay{}
	for _, view := range views {
		if !view.Active || view.Token.Superseded() {
			continue
		}
		r := rowOf(view, v.now, nil)
		if isFeed(view.Token.Scopes) {
			page.Feeds = append(page.Feeds, r)
		}
		if view.Token.ExpiresOn.IsZero() {
			page.Endless++
			continue
		}
		switch on := clock.DayOf(view.Token.ExpiresAt()); {
		case on.After(page.Through):
			page.Later++
		default:
			if day := byDay[on]; day == nil || r.State.End.At.Before(day.When.At) {
				if day == nil {
					byDay[on] = &endDay{Day: on}
				}
				byDay[on].When, byDay[on].Mark = r.State.End, r.State.Mark
			}
			byDay[on].Rows = append(byDay[on].Rows, r)
		}
	}
	for _, day := range byDay {
		page.Days = append(page.Days, *day)
	}
	slices.SortFunc(page.Days, func(a, b endDay) int { return cmp.Compare(a.At().Unix(), b.At().Unix()) })
	page.Chart = drawEnds(today, page.Days)
	return page
}

// TimeOfEnd is the time at which a token with a short life ends, or "": all others end at 00:00 UTC.
func (r row) TimeOfEnd() string {
	if end := r.State.End.At; !end.Equal(clock.DayOf(end).Start()) {
		return end.Format("15:04:05 UTC")
	}
	return ""
}

// endWords is when a token ends.
func (r row) endWords() string {
	day := clock.DayOf(r.State.End.At)
	if at := r.TimeOfEnd(); at != "" {
		return day.String() + " at " + at
	}
	return dayWords(day)
}

// drawEnds draws the days from today on.
func drawEnds(today clock.Day, days []endDay) chart {
	tallest := 1
	for _, day := range days {
		tallest = max(tallest, min(len(day.Rows), chartMost))
	}
	c := chart{Width: 2*chartMargin + endsDays*chartDay, Base: 12 + tallest*chartRow}
	c.Height = c.Base + 34
	x := func(day clock.Day) int { return chartMargin + max(today.DaysUntil(day), 0)*chartDay }
	for n := 0; n <= endsDays; n++ {
		day := today.AddDays(n)
		t := tick{X: x(day), Long: n%10 == 0}
		if t.Long {
			t.Text = day.Start().Format("Jan 2")
		}
		if n == 0 {
			t.Text = "today"
		}
		c.Ticks = append(c.Ticks, t)
	}
	tokens := 0
	for _, day := range days {
		tokens += len(day.Rows)
		for i, r := range day.Rows {
			m := mark{X: x(day.Day), Y: c.Base - 10 - i*chartRow, Mark: day.Mark, Title: shown(r.Name) + " ends on " + r.endWords()}
			if i == chartMost-1 && len(day.Rows) > chartMost {
				m.Mark, m.Title = "more", count(len(day.Rows)-i, "further token")
				c.Marks = append(c.Marks, m)
				break
			}
			c.Marks = append(c.Marks, m)
		}
	}
	c.Label = count(tokens, "token") + " of yours end within the next 60 days. The list below says the same in words."
	if tokens == 1 {
		c.Label = "1 token of yours ends within the next 60 days. The list below says the same in words."
	}
	return c
}

var feedScopes = scope.Set{scope.ReadCalendar}

// isFeed reports whether a token with these scopes opens the calendar feed. A token that can do more
// must not be in a URL, so it does not.
func isFeed(set scope.Set) bool { return len(set) == 1 && set.Has(scope.ReadCalendar) }
