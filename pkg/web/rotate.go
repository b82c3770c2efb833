package web

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"latchkey/pkg/clock"
	"latchkey/pkg/lifecycle"
)

// A rotatePage is the form for a rotation.
type rotatePage struct {
	row
	place
	Expiry   expiryField
	Overlaps []overlap
	Broken   []broken
	Refused  string
}

// Of returns what is wrong with a field, or "".
func (p rotatePage) Of(field string) string { return textOf(p.Broken, field) }

// An overlap is how long the old token still works.
type overlap struct {
	Value       string // in seconds, or untilUsed
	Label, Hint string
	Checked     bool
}

// untilUsed is the overlap that the first use of the new token ends.
const untilUsed = "until_used"

var overlaps = []overlap{
	{"0", "Not at all", "It stops at once. Right if it may have leaked.", false},
	{untilUsed, "Until the new token is used", "At most 24 hours. Do not test the new token before every place has it.", false},
	{"900", "15 minutes", "Enough to change one place by hand.", false},
	{"3600", "1 hour", "Enough for a few places.", false},
	{"86400", "24 hours", "Enough for jobs that run once a day.", false},
}

func overlapsWith(chosen string) []overlap {
	list := slices.Clone(overlaps)
	for i := range list {
		list[i].Checked = list[i].Value == chosen
	}
	return list
}

// usualOverlap is chosen unless somebody chooses another one, in seconds.
const usualOverlap = "900"

// askRotate shows the form for a rotation. It proposes the lifetime that the token has.
func (s *Site) askRotate(v *visit) error {
	o, view, err := s.find(v)
	if err != nil {
		return err
	}
	if !o.mayRotate(view) {
		return o.to(view.Token.ID, "")
	}
	t := view.Token
	lifetime := longest
	if !t.ExpiresOn.IsZero() {
		lifetime = strconv.Itoa(clock.DayOf(t.CreatedAt).DaysUntil(t.ExpiresOn))
	}
	return v.render(http.StatusOK, "rotate", "Rotate this token", rotatePage{
		place: o.place, row: rowOf(view, v.now, nil), Expiry: v.expiryChoices(lifetime, ""), Overlaps: overlapsWith(usualOverlap),
	})
}

// rotate makes the successor and hands its value over to the page that shows it once.
func (s *Site) rotate(v *visit) error {
	o, view, err := s.find(v)
	if err != nil {
		return err
	}
	given := v.r.PostForm
	page := rotatePage{
		place: o.place, row: rowOf(view, v.now, nil), Expiry: v.expiryChoices(given.Get("expires"), given.Get("expires_on")), Overlaps: overlapsWith(given.Get("overlap")),
	}
	again := func(list []broken, refused string) any {
		page.Broken, page.Refused = list, refused
		return page
	}
	const title = "Rotate this token"
	chosen := slices.IndexFunc(page.Overlaps, func(o overlap) bool { return o.Checked })
	if chosen < 0 {
		page.Broken = append(page.Broken, broken{"overlap", "Choose how long the old token still works."})
	}
	on, err := v.expiryOf()
	if err != nil {
		page.Broken = append(page.Broken, broken{"expires", "Choose when the new token ends. A day of your own has the form YYYY-MM-DD."})
	}
	if len(page.Broken) > 0 {
		return v.render(http.StatusUnprocessableEntity, "rotate", title, page)
	}
	issued := lifecycle.Issued{}
	if err = s.parts.Throttles.Create(v.by.Account.ID, v.now); err == nil {
		rotation := lifecycle.Rotation{ExpiresOn: on}
		if seconds, err := strconv.Atoi(page.Overlaps[chosen].Value); err == nil {
			rotation.Overlap = time.Duration(seconds) * time.Second
		} else {
			rotation.UntilUsed = true
		}
		issued, err = o.rotate(view.Token.ID, rotation)
	}
	if err != nil {
		return v.formAgain(err, "rotate", title, again)
	}
	s.parts.Log.Info("token rotated", "request_id", v.request.ID, "token_id", int64(issued.Token.ID), "owner", int64(issued.Token.Owner))
	s.parts.Count("TokensIssued", "")
	return o.handOver(issued)
}
