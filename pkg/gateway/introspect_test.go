package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/scope"
	"latchkey/pkg/settings"
	"latchkey/pkg/telemetry/telemetrytest"
	"latchkey/pkg/throttle"
	"latchkey/pkg/token"
)

// Breaks if a server keeps an answer beyond the end of the token, or drops a token that still works.
func TestIntrospectionTellsWhenATokenEnds(t *testing.T) {
	day := clock.DayOf(time.Unix(0, 0)).AddDays(10)
	overlap := day.Start().Add(-time.Hour)
	for name, test := range map[string]struct {
		token   token.Token
		ignored bool
		want    int64
	}{
		"a token with an expiry":            {token.Token{ExpiresOn: day}, false, day.Start().Unix()},
		"while expiry is ignored":           {token.Token{ExpiresOn: day}, true, 0},
		"a token without one":               {token.Token{}, false, 0},
		"in its overlap":                    {token.Token{ExpiresOn: day, WorksUntil: overlap}, false, overlap.Unix()},
		"in an overlap beyond its expiry":   {token.Token{ExpiresOn: day, WorksUntil: day.Start().Add(time.Hour)}, false, day.Start().Unix()},
		"in its overlap, expiry ignored":    {token.Token{ExpiresOn: day, WorksUntil: overlap}, true, overlap.Unix()},
		"without an expiry, in its overlap": {token.Token{WorksUntil: overlap}, false, overlap.Unix()},
	} {
		p := principal.Principal{Token: test.token, Scopes: scope.Set{scope.API}, Settings: settings.Settings{ExpiryIgnored: test.ignored}}
		if got := introspectionOf(p, nil); !got.Active || got.ExpiresAt != test.want {
			t.Errorf("%s: %+v, want exp %d", name, got, test.want)
		}
	}
}

// Breaks if somebody who tries values looks like a table that does not answer, and raises its alarm.
func TestThrottledBearersCountAsThrottled(t *testing.T) {
	for _, path := range []string{"/auth/nginx", "/oauth/introspect"} {
		logs, counts := telemetrytest.NewLogs(t), &telemetrytest.Counts{}
		logs.Secret(bearer)
		parts, table := partsAndTable(t, logs)
		parts.Count, parts.Throttles = counts.Count, throttle.New(throttle.Limits{WrongBearers: 1})
		parts.Proxies = Proxies{Addresses: []netip.Prefix{netip.MustParsePrefix("203.0.113.9/32")}, Header: "X-Real-Ip"}
		table.err = fault.ErrNotFound
		g, err := New(parts)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"BearersRefused unknown", "RequestsThrottled wrong_bearers"} {
			r, w := httptest.NewRequest(http.MethodPost, path, strings.NewReader("token=x")), httptest.NewRecorder()
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("X-Real-Ip", "192.0.2.1")
			r.Header.Set("Authorization", "Bearer "+bearer)
			r.Header.Set("X-Original-Method", "GET")
			r.Header.Set("X-Original-URI", "/orders")
			g.Handler()(w, r, proxy.Origin{Path: path, Address: netip.MustParseAddr("203.0.113.9")})
			if got := counts.Take(); len(got) != 1 || got[want] != 1 {
				t.Errorf("%s: %v, want %s", path, got, want)
			}
		}
	}
}
