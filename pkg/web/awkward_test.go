package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"latchkey/pkg/principal"
)

// The form of somebody whose session has ended comes back with the end that they chose.
func TestTheWayBackKeepsTheEnd(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ expires, on, days string }{
		{"90", "", "90"}, {"day", "2026-04-03", "15"}, {"day", "soon", ""}, {"longest", "", ""},
	} {
		got := w.signIn("").send(t, http.MethodPost, tokensPath, url.Values{"name": {"ci"}, "expires": {c.expires}, "expires_on": {c.on}})
		there := made(url.Parse(got.header.Get("Location")))
		back := made(url.Parse(there.Query().Get("return_to")))
		if days := back.Query().Get("expires_in_days"); days != c.days {
			t.Errorf("%s %s comes back as %q, want %q", c.expires, c.on, days, c.days)
		}
	}
}

// Where tokens need no end, a link and a copy can still choose one, of a length that there can be.
func TestLifetimesWithoutALimit(t *testing.T) {
	w := newWorld(t, func(p *Parts) { p.Visitors = endless{p.Visitors} })
	for days, applied := range map[string]bool{"45": true, "36500": true, "36501": false, "9223372036854775807": false} {
		page := w.signIn("ann").page(t, tokensPath+"?name=ci&expires_in_days="+days)
		if has := strings.Contains(page, `value="`+days+`" checked`); has != applied {
			t.Errorf("%s days are chosen: %t", days, has)
		}
		if has := strings.Contains(text(page), "the lifetime in days"); has == applied {
			t.Errorf("%s days are named as not applied: %t", days, has)
		}
	}
}

// endless visitors come from a deployment in which tokens need no end.
type endless struct{ Visitors }

func (e endless) Visitor(ctx context.Context, w http.ResponseWriter, r *http.Request, request principal.Request) (principal.Principal, error) {
	by, err := e.Visitors.Visitor(ctx, w, r, request)
	by.Settings.LifetimeDays, by.Settings.ExpiryOptional = 0, true
	return by, err
}
