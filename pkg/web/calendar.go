package web

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-ical"

	"latchkey/pkg/apigateway"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/principal"
	"latchkey/pkg/token"
	"latchkey/pkg/verify"
)

// feedPath is the calendar feed. It is GitLab's.
const feedPath = tokensPath + ".ics"

// feedParameter holds the bearer in the URL of the feed, because calendar programs send no headers.
const feedParameter = "feed_token"

func (s *Site) calendarRoutes() []route {
	return []route{
		{method: http.MethodGet, path: endsPath, handle: s.ends},
		{method: http.MethodPost, path: endsPath, handle: s.subscribe, again: func(*visit) string { return endsPath }},
		{method: http.MethodGet, path: feedPath, handle: s.feed, open: true},
	}
}

// subscribe makes a token for a calendar program.
func (s *Site) subscribe(v *visit) error {
	if err := s.parts.Throttles.Create(v.by.Account.ID, v.now); err != nil {
		return err
	}
	latest, _ := v.by.Settings.Latest(clock.DayOf(v.now))
	own, err := s.ownerOf(v)
	if err != nil {
		return err
	}
	issued, err := s.parts.Issuer.CreateForSelf(v.ctx, v.by, lifecycle.Spec{
		Name: "Calendar feed", Description: "Lets a calendar program read when my tokens end.", Scopes: feedScopes, ExpiresOn: latest,
	})
	if err != nil {
		return err
	}
	s.parts.Log.Info("token issued", "request_id", v.request.ID, "token_id", int64(issued.Token.ID), "owner", int64(issued.Token.Owner), "scopes", feedScopes.String())
	s.parts.Count("TokensIssued", "")
	return own.handOver(issued)
}

// A calendarPage shows the address of a feed, once.
type calendarPage struct {
	ID      token.ID
	Address string
}

func (s *Site) calendarLink(v *visit, bearer string) error {
	id, err := token.ParseID(v.path("id"))
	if err != nil {
		return err
	}
	address := v.address + feedPath + "?" + url.Values{feedParameter: {bearer}}.Encode()
	return v.render(http.StatusOK, "calendar", "Your calendar feed", calendarPage{ID: id, Address: address})
}

// feedCaller verifies the bearer of a calendar program: the parameter, or the password of Basic.
func (s *Site) feedCaller(v *visit) (principal.Principal, error) {
	value := v.r.URL.Query().Get(feedParameter)
	if value == "" {
		header, err := apigateway.OnlyHeader(v.r.Header, "Authorization")
		if err != nil {
			return principal.Principal{}, err
		}
		value = apigateway.PasswordOf(header)
	}
	by, err := s.parts.Verifier.Verify(v.ctx, value, v.request.Address)
	if err != nil {
		s.parts.Count("BearersRefused", verify.RefusalCode(err))
		return principal.Principal{}, s.parts.Throttles.WrongBearer(err, v.request.Address, v.now)
	}
	if !isFeed(by.Token.Scopes) || by.Token.Kind != token.Personal {
		return principal.Principal{}, errWide
	}
	by.Request = v.request
	return by, nil
}

// errWide means that a token that can do more than read the calendar was presented for it.
var errWide = fmt.Errorf("%w: token for more than the calendar", fault.ErrForbidden)

// feed replies with the calendar.
func (s *Site) feed(v *visit) error {
	by, err := s.feedCaller(v)
	if err != nil {
		return v.refuseFeed(err)
	}
	v.by = by
	views, err := s.parts.Lister.AllOwn(v.ctx, by)
	if err != nil {
		return v.refuseFeed(err)
	}
	calendar, err := s.calendar(v, views)
	if err != nil {
		return v.refuseFeed(err)
	}
	v.header().Set("Content-Disposition", `inline; filename="tokens.ics"`)
	return v.write(http.StatusOK, "text/calendar; charset=utf-8", calendar)
}

// refuseFeed replies in plain text, because the reader is a program.
func (v *visit) refuseFeed(err error) error {
	v.err = err
	page := refusalOf(err)
	if page.status == http.StatusUnauthorized {
		v.header().Set("WWW-Authenticate", `Basic realm="Latchkey calendar", charset="UTF-8"`)
	}
	if errors.Is(err, errWide) {
		page.Text = "The feed takes only a token whose one scope is read_calendar, because its address holds the token."
	}
	v.wait(err)
	return v.write(page.status, "text/plain; charset=utf-8", []byte(page.Title+". "+page.Text+"\n"))
}

// calendar writes one all-day event for each day on which working tokens end (RFC 5545).
func (s *Site) calendar(v *visit, views []lifecycle.View) ([]byte, error) {
	cal := ical.NewCalendar()
	cal.Props.SetText(ical.PropVersion, "2.0")
	cal.Props.SetText(ical.PropProductID, "-//Latchkey//Tokens//EN")
	cal.Props.SetText(ical.PropName, "Tokens of "+v.by.Account.Username)
	cal.Props.SetText("X-WR-CALNAME", "Tokens of "+v.by.Account.Username)
	refresh := ical.NewProp("REFRESH-INTERVAL") // RFC 7986 section 5.7
	refresh.Value = "PT12H"
	refresh.SetValueType(ical.ValueDuration)
	cal.Props.Set(refresh)
	byDay := map[clock.Day][]lifecycle.View{}
	var days []clock.Day
	for _, view := range views {
		if !view.Active || !view.Token.Announced() || view.Token.Superseded() {
			continue
		}
		on := clock.DayOf(view.Token.ExpiresAt())
		if byDay[on] == nil {
			days = append(days, on)
		}
		byDay[on] = append(byDay[on], view)
	}
	slices.SortFunc(days, func(a, b clock.Day) int { return a.Start().Compare(b.Start()) })
	for _, day := range days {
		cal.Children = append(cal.Children, s.event(v, day, byDay[day]).Component)
	}
	var out bytes.Buffer
	if len(days) == 0 {
		// The library refuses a calendar without events, and RFC 5545 section 3.6 wants one too.
		return []byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Latchkey//Tokens//EN\r\nEND:VCALENDAR\r\n"), nil
	}
	if err := ical.NewEncoder(&out).Encode(cal); err != nil {
		return nil, fmt.Errorf("write calendar: %w", err)
	}
	return fold(out.Bytes()), nil
}

// fold breaks lines after at most 75 bytes, between characters (RFC 5545 section 3.1). The library
// does not, and some programs cut longer lines off.
func fold(calendar []byte) []byte {
	const most = 75
	var out bytes.Buffer
	for line := range bytes.SplitAfterSeq(calendar, []byte("\r\n")) {
		length := 0
		for len(line) > 0 {
			_, size := utf8.DecodeRune(line)
			if length+size > most && line[0] != '\r' && line[0] != '\n' {
				out.WriteString("\r\n ")
				length = 1
			}
			out.Write(line[:size])
			length += size
			line = line[size:]
		}
	}
	return out.Bytes()
}

func (s *Site) event(v *visit, day clock.Day, views []lifecycle.View) *ical.Event {
	event := ical.NewEvent()
	event.Props.SetText(ical.PropUID, "expiry-"+day.String()+"-"+strconv.FormatInt(int64(v.by.Account.ID), 10)+"@latchkey")
	event.Props.SetDateTime(ical.PropDateTimeStamp, v.now)
	event.Props.SetDate(ical.PropDateTimeStart, day.Start())
	event.Props.SetDate(ical.PropDateTimeEnd, day.AddDays(1).Start()) // the day after the last one
	event.Props.SetText(ical.PropTransparency, "TRANSPARENT")
	title := count(len(views), "token") + " expire"
	if len(views) == 1 {
		title = "Token " + shown(views[0].Token.Name) + " expires"
	}
	event.Props.SetText(ical.PropSummary, title)
	var text strings.Builder
	text.WriteString("From 00:00 UTC of this day on, or from the time behind its name:\n")
	for _, view := range views {
		name := shown(view.Token.Name)
		if view.Token.Life > 0 {
			name += view.Token.ExpiresAt().Format(" at 15:04:05 UTC")
		}
		fmt.Fprintf(&text, "%s, %s\n", name, view.Token.Scopes)
	}
	event.Props.SetText(ical.PropDescription, text.String())
	link := &url.URL{}
	if parsed, err := url.Parse(v.address + tokensPath); err == nil {
		link = parsed
	}
	if len(views) == 1 {
		link.Path += "/" + views[0].Token.ID.String()
	}
	event.Props.SetURI(ical.PropURL, link)
	return event
}
