package web

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/infra/local/identities"
	"latchkey/pkg/account"
	"latchkey/pkg/directory"
	"latchkey/pkg/throttle"
	"latchkey/pkg/trail"
)

// A hall is a world that people enter by signing in with a provider.
type hall struct {
	*world
	provider *identities.Provider
	signIns  *directory.SignIns
	down     bool // the provider does not answer
	// impostor answers in place of the provider, except for the keys.
	impostor *identities.Provider
}

// ann is who the provider says has the subject ann.
func ann(claims ...map[string]any) identities.Person {
	p := identities.Person{Subject: "ann", Claims: map[string]any{"name": "Ann", "email": "ann@example.test", "email_verified": true}}
	for _, more := range claims {
		maps.Copy(p.Claims, more)
	}
	return p
}

type hallOptions struct {
	keys       []string
	limit      int
	adminClaim string
	strangers  bool
}

const firstKey, secondKey = "the first key for cookies, of 32 letters or so", "the second key for cookies, of 32 letters"

func newHall(t *testing.T, o hallOptions) *hall {
	t.Helper()
	h := &hall{}
	var issuer string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.down {
			http.Error(w, "ann@example.test", http.StatusBadGateway)
			return
		}
		if h.impostor != nil && r.URL.Path != "/keys" {
			h.impostor.ServeHTTP(w, r)
			return
		}
		h.provider.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	issuer = server.URL
	h.world = newWorld(t, func(p *Parts) {
		w := p.Visitors.(visitors).w
		h.provider = made(identities.New(issuer, siteURL+callbackPath, w.clock, ann()))
		h.world = w
		h.enter(t, p, issuer, o)
	})
	return h
}

// enter gives the site an entrance.
func (h *hall) enter(t *testing.T, p *Parts, issuer string, o hallOptions) {
	t.Helper()
	if o.keys == nil {
		o.keys = []string{firstKey}
	}
	p.Sealer = made(NewSealer(o.keys...))
	provider := NewProvider(ProviderSettings{Issuer: issuer, ClientID: identities.ClientID, AdminClaim: o.adminClaim}, h.clock)
	h.signIns = made(directory.NewSignIns(directory.SignInParts{
		Store: h.table, Reader: h.table, Trail: trail.NewNotes(h.table), Clock: h.clock, Creates: o.strangers, ClaimRanks: provider.ClaimRanks(),
	}))
	entrance := made(NewEntrance(EntranceParts{
		Provider: provider, SignIns: h.signIns, Sealer: p.Sealer, Clock: h.clock, Log: p.Log, Count: p.Count,
		Throttles: throttle.New(throttle.Limits{SignIns: o.limit}),
	}))
	p.Visitors, p.Door = entrance, entrance
}

// rekey replaces the site by one with other keys, as a deployment does.
func (h *hall) rekey(t *testing.T, keys ...string) {
	t.Helper()
	parts := h.site.parts
	h.enter(t, &parts, h.provider.Issuer(), hallOptions{keys: keys})
	h.site = made(New(parts))
}

// start begins a sign-in and returns the address at the provider.
func (b *browser) start(t *testing.T, returnTo string) *url.URL {
	t.Helper()
	got := b.get(t, startPath+"?"+url.Values{"return_to": {returnTo}}.Encode())
	there, err := url.Parse(got.header.Get("Location"))
	if got.status != http.StatusSeeOther || err != nil {
		t.Fatalf("start: %d to %s", got.status, there)
	}
	return there
}

// pick picks the first person at the provider, and returns the path and query that it sends back to.
func pick(t *testing.T, there *url.URL) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, there.String()+"&person=0", nil)
	check(t, err)
	response, err := http.DefaultTransport.RoundTrip(request)
	check(t, err)
	defer response.Body.Close()
	back := response.Header.Get("Location")
	if response.StatusCode != http.StatusFound || !strings.HasPrefix(back, siteURL+callbackPath+"?") {
		t.Fatalf("the provider answers %d, %q", response.StatusCode, back)
	}
	return strings.TrimPrefix(back, siteURL)
}

// through signs in with the provider and returns the last reply.
func (b *browser) through(t *testing.T, returnTo string) reply {
	t.Helper()
	return b.get(t, pick(t, b.start(t, returnTo)))
}

// signedIn reports whether the browser's cookie lets it see a page of its own.
func (b *browser) signedIn(t *testing.T) bool {
	t.Helper()
	switch got := b.get(t, tokensPath); {
	case got.status == http.StatusOK:
		return true
	case got.status == http.StatusSeeOther && strings.HasPrefix(got.header.Get("Location"), signInPath):
		return false
	default:
		t.Fatalf("%d to %q", got.status, got.header.Get("Location"))
		return false
	}
}

// visitor returns a browser of somebody who has signed in.
func (h *hall) visitor(t *testing.T) *browser {
	t.Helper()
	b := h.signIn("")
	if got := b.through(t, tokensPath); got.status != http.StatusSeeOther || !b.signedIn(t) {
		t.Fatalf("not signed in: %d %s", got.status, got.body)
	}
	return b
}

func (b *browser) copied() *browser {
	return &browser{w: b.w, cookies: maps.Clone(b.cookies), header: b.header.Clone()}
}

func wantRefused(t *testing.T, b *browser, got reply, status int, text string) {
	t.Helper()
	if got.status != status || !strings.Contains(got.body, text) {
		t.Errorf("%d, want %d with %q:\n%s", got.status, status, text, got.body)
	}
	if b.signedIn(t) {
		t.Error("and signed in")
	}
}

func TestSignIn(t *testing.T) {
	h := newHall(t, hallOptions{})
	b := h.signIn("")
	wanted := tokensPath + "?name=CI+%26+more&scopes=read_api"
	got := b.get(t, wanted)
	if got.status != http.StatusSeeOther {
		t.Fatalf("a stranger gets %d", got.status)
	}
	ask := b.page(t, got.header.Get("Location"))
	link := startPath + "?" + url.Values{"return_to": {wanted}}.Encode()
	if !strings.Contains(ask, strings.ReplaceAll(link, "&", "&amp;")) && !strings.Contains(strings.ToLower(ask), strings.ToLower("/-/sign_in/start?return_to=%2f-%2fuser_settings")) {
		t.Errorf("the page does not link to %s:\n%s", link, ask)
	}
	there := b.start(t, wanted)
	q := there.Query()
	if q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) < 43 || len(q.Get("state")) < 26 || len(q.Get("nonce")) < 26 ||
		q.Get("state") == q.Get("nonce") || q.Get("redirect_uri") != siteURL+callbackPath || q.Get("response_type") != "code" {
		t.Errorf("asks the provider %v", q)
	}
	back := b.get(t, pick(t, there))
	if to := back.header.Get("Location"); back.status != http.StatusSeeOther || to != wanted {
		t.Errorf("%d, back at %q, want %q", back.status, to, wanted)
	}
	if !b.signedIn(t) || b.cookies[attemptCookie] != "" {
		t.Errorf("signed in: %t, cookies %v", b.signedIn(t), slices.Collect(maps.Keys(b.cookies)))
	}
	// Who is signed in and comes to the sign-in goes on.
	if got := b.get(t, signInPath+"?return_to="+url.QueryEscape(wanted)); got.header.Get("Location") != wanted {
		t.Errorf("signed in, at the sign-in: %d to %q", got.status, got.header.Get("Location"))
	}
}

// Breaks if a script, a plain connection, another host or another site's form can use a cookie.
func TestCookiesAreTheBrowsersAlone(t *testing.T) {
	h := newHall(t, hallOptions{})
	b := h.signIn("")
	first := b.get(t, startPath)
	there, err := url.Parse(first.header.Get("Location"))
	check(t, err)
	second := b.get(t, pick(t, there))
	third := b.send(t, http.MethodPost, signOutPath, nil)
	for _, got := range []reply{first, second, third} {
		lines := got.header.Values("Set-Cookie")
		if len(lines) == 0 {
			t.Error("no cookie")
		}
		for _, line := range lines {
			name, rest, _ := strings.Cut(line, "=")
			if !strings.HasPrefix(name, "__Host-") || strings.Contains(rest, "Domain") {
				t.Errorf("%s: %s", name, rest)
			}
			for _, part := range []string{"; Path=/;", "; HttpOnly", "; Secure", "; SameSite=Lax", "; Max-Age="} {
				if !strings.Contains(rest, part) {
					t.Errorf("%s has no %q: %s", name, part, rest)
				}
			}
		}
	}
}

// Breaks if a link to the site can end at somebody else's.
func TestReturnPathIsNeverElsewhere(t *testing.T) {
	h := newHall(t, hallOptions{})
	for _, bad := range []string{
		"", "https://evil.test/", "//evil.test/", "/\\evil.test/", "\\\\evil.test", "/-/../../evil.test", "/-//evil.test", "/-/\\evil.test",
		"javascript:alert(1)", "/-/x\r\nLocation: https://evil.test", "/-/\t/evil.test", " /-/", "/-/%2e%2e/%2e%2e//evil.test", "/-/..%2f..%2f",
		"https:/-/x", "/api/v4/user", "evil.test/-/", "/-/x#@evil.test", "@evil.test/-/", "/-", "%2f-%2fx", "/-/./x", "/-/x//y",
		signOutPath, signInPath, callbackPath + "?code=1&state=2", startPath, "/-/" + strings.Repeat("x", 3000),
	} {
		b := h.signIn("")
		if got := b.through(t, bad); got.status != http.StatusSeeOther || got.header.Get("Location") != tokensPath {
			t.Errorf("%q leads to %d %q", bad, got.status, got.header.Get("Location"))
		}
		if got := b.get(t, signInPath+"?return_to="+url.QueryEscape(bad)); got.header.Get("Location") != tokensPath {
			t.Errorf("%q leads who is signed in to %q", bad, got.header.Get("Location"))
		}
	}
	for _, good := range []string{tokensPath, tokensPath + "?name=a%2Fb%5C&description=//evil.test", "/-/groups/7/access_tokens?page=2"} {
		if got := h.signIn("").through(t, good); got.header.Get("Location") != good {
			t.Errorf("%q leads to %q", good, got.header.Get("Location"))
		}
	}
}

// Breaks if anybody but the browser that began a sign-in can finish it, or if it can be finished twice.
func TestReplayedAndStolenSignIns(t *testing.T) {
	h := newHall(t, hallOptions{})
	const ended = "This sign-in has ended"

	b := h.signIn("")
	back := pick(t, b.start(t, tokensPath))
	before := b.copied() // with the sealed attempt
	if got := b.get(t, back); got.status != http.StatusSeeOther {
		t.Fatalf("%d", got.status)
	}
	replaying := before.copied()
	wantRefused(t, replaying, replaying.get(t, back), http.StatusBadRequest, ended) // the code is used
	if replaying.cookies[attemptCookie] != "" {
		t.Error("a failed attempt is still there")
	}
	stranger := h.signIn("")
	wantRefused(t, stranger, stranger.get(t, back), http.StatusBadRequest, ended)
	if got := b.get(t, back); got.status != http.StatusBadRequest || !b.signedIn(t) {
		t.Errorf("the same browser again: %d; it stays signed in", got.status)
	}

	// An attacker hands a victim the end of their own sign-in, to have the victim work in their account.
	attacker, victim := h.signIn(""), h.signIn("")
	theirs := pick(t, attacker.start(t, tokensPath))
	wantRefused(t, victim, victim.get(t, theirs), http.StatusBadRequest, ended)
	victim.start(t, tokensPath)
	wantRefused(t, victim, victim.get(t, theirs), http.StatusBadRequest, ended) // the state is another's
	// The attacker's code with the victim's own state: PKCE tells them apart.
	own := victim.start(t, tokensPath)
	code, err := url.Parse(pick(t, attacker.start(t, tokensPath)))
	check(t, err)
	mixed := callbackPath + "?" + url.Values{"state": {own.Query().Get("state")}, "code": {code.Query().Get("code")}}.Encode()
	wantRefused(t, victim, victim.get(t, mixed), http.StatusBadRequest, ended)

	for name, change := range map[string]func(q url.Values){
		"no state": func(q url.Values) { q.Del("state") }, "two states": func(q url.Values) { q.Add("state", q.Get("state")) },
		"an empty state": func(q url.Values) { q.Set("state", "") }, "no code": func(q url.Values) { q.Del("code") },
		"two codes":           func(q url.Values) { q.Add("code", "x") },
		"a code and an error": func(q url.Values) { q.Set("error", "access_denied") },
		"another provider":    func(q url.Values) { q.Set("iss", "https://evil.test") },
		"a made-up code":      func(q url.Values) { q.Set("code", "made-up") },
	} {
		t.Run(name, func(t *testing.T) {
			b := h.signIn("")
			back, err := url.Parse(pick(t, b.start(t, tokensPath)))
			check(t, err)
			q := back.Query()
			change(q)
			wantRefused(t, b, b.get(t, callbackPath+"?"+q.Encode()), http.StatusBadRequest, ended)
		})
	}
	t.Run("after ten minutes", func(t *testing.T) {
		b := h.signIn("")
		there := b.start(t, tokensPath)
		h.clock.Advance(attemptLife - time.Second)
		late := b.copied()
		lateBack := pick(t, there)
		if got := b.get(t, lateBack); got.status != http.StatusSeeOther {
			t.Errorf("a second earlier: %d", got.status)
		}
		lateBack = pick(t, there)
		h.clock.Advance(time.Second)
		wantRefused(t, late, late.get(t, lateBack), http.StatusBadRequest, ended)
	})
	t.Run("cancelled at the provider", func(t *testing.T) {
		b := h.signIn("")
		q := url.Values{"state": {b.start(t, tokensPath).Query().Get("state")}, "error": {"access_denied"}, "error_description": {"<script>"}}
		got := b.get(t, callbackPath+"?"+q.Encode())
		wantRefused(t, b, got, http.StatusForbidden, "You are not signed in")
		if strings.Contains(got.body, "<script>") {
			t.Error("the page repeats the provider's text")
		}
	})
}

// Breaks if somebody can make a victim use a session that they know.
func TestSessionFixation(t *testing.T) {
	h := newHall(t, hallOptions{strangers: true})
	h.provider.Say(identities.Person{Subject: "mallory", Claims: map[string]any{"name": "Mallory", "email": "m@example.test", "email_verified": true}})
	mallory := h.visitor(t)
	planted := mallory.cookies[sessionCookie]
	h.provider.Say(ann())
	victim := h.signIn("")
	victim.cookies[sessionCookie] = planted
	if got := victim.through(t, tokensPath); got.status != http.StatusSeeOther {
		t.Fatalf("%d", got.status)
	}
	if victim.cookies[sessionCookie] == planted || !strings.Contains(victim.page(t, tokensPath), "@ann") {
		t.Error("the planted session is still there")
	}
	if page := mallory.page(t, tokensPath); strings.Contains(page, "@ann") {
		t.Error("whoever planted the session has the victim's")
	}
	// Two cookies of one name are a guess.
	both := h.signIn("")
	both.header.Set("Cookie", sessionCookie+"="+planted+"; "+sessionCookie+"="+victim.cookies[sessionCookie])
	if both.signedIn(t) {
		t.Error("two sessions at once are taken")
	}
}

func TestForgedSessions(t *testing.T) {
	h := newHall(t, hallOptions{})
	good := h.visitor(t)
	session := good.cookies[sessionCookie]
	begun := h.signIn("")
	begun.start(t, tokensPath)
	forge := func(purpose string, key string, value any) string {
		raw, err := json.Marshal(value)
		check(t, err)
		return made(made(NewSealer(key)).Seal(purpose, raw))
	}
	root := sealedSession{Account: int64(h.people["root"].ID), SignedInAt: now.Unix(), RenewedAt: now.Unix()}
	for name, value := range map[string]string{
		"cut": session[:len(session)-4], "without its key": session[strings.Index(session, ".")+1:], "empty": "", "plain": "eyJhIjoxfQ",
		"of the other cookie": begun.cookies[attemptCookie], "under another key": forge(sessionPurpose, secondKey, root),
		"for another purpose": forge(attemptPurpose, firstKey, root), "twice as long": session + session, "no JSON": made(made(NewSealer(firstKey)).Seal(sessionPurpose, []byte("x"))),
		"of nobody": forge(sessionPurpose, firstKey, sealedSession{SignedInAt: now.Unix(), RenewedAt: now.Unix()}),
	} {
		b := h.signIn("")
		b.cookies[sessionCookie] = value
		if b.signedIn(t) {
			t.Errorf("a session that is %s is good", name)
		}
	}
	swapped := h.signIn("")
	swapped.cookies[attemptCookie] = session
	wantRefused(t, swapped, swapped.get(t, callbackPath+"?state=&code=x"), http.StatusBadRequest, "This sign-in has ended")
	check2 := h.signIn("")
	check2.cookies[sessionCookie] = forge(sessionPurpose, firstKey, root) // what a forger would need the key for
	if !check2.signedIn(t) {
		t.Error("the test forges nothing")
	}
}

func TestSessionLife(t *testing.T) {
	t.Run("unused for an hour", func(t *testing.T) {
		h := newHall(t, hallOptions{})
		b := h.visitor(t)
		unused := b.copied()
		h.clock.Advance(account.SessionIdle - time.Second)
		if !b.signedIn(t) {
			t.Error("over a second early")
		}
		h.clock.Advance(time.Second)
		if unused.signedIn(t) {
			t.Error("good after an hour")
		}
		if !b.signedIn(t) {
			t.Error("the renewed cookie is not good")
		}
	})
	t.Run("twelve hours, however much it is used", func(t *testing.T) {
		h := newHall(t, hallOptions{})
		b := h.visitor(t)
		begun := h.clock.Now()
		const step = 10 * time.Minute
		for h.clock.Now().Sub(begun) < account.SessionLife-step {
			h.clock.Advance(step)
			if !b.signedIn(t) {
				t.Fatalf("over after %s", h.clock.Now().Sub(begun))
			}
		}
		h.clock.Advance(step - time.Second)
		if !b.signedIn(t) {
			t.Error("over a second early")
		}
		h.clock.Advance(time.Second)
		if b.signedIn(t) {
			t.Error("good after twelve hours")
		}
		if b.cookies[sessionCookie] != "" {
			t.Error("the dead cookie stays")
		}
	})
	t.Run("renewed at most every five minutes", func(t *testing.T) {
		h := newHall(t, hallOptions{})
		b := h.visitor(t)
		h.clock.Advance(5*time.Minute - time.Second)
		if got := b.get(t, tokensPath).header.Values("Set-Cookie"); len(got) != 0 {
			t.Errorf("too early: %d cookies", len(got))
		}
		h.clock.Advance(time.Second)
		if got := b.get(t, tokensPath).header.Values("Set-Cookie"); len(got) != 1 {
			t.Errorf("not renewed: %d cookies", len(got))
		}
	})
}

func TestCookieKeysRotate(t *testing.T) {
	h := newHall(t, hallOptions{})
	b := h.visitor(t)
	begun := h.signIn("")
	there := begun.start(t, tokensPath)
	h.rekey(t, secondKey, firstKey)
	if !b.signedIn(t) {
		t.Error("a new key in front signs people out")
	}
	if got := begun.get(t, pick(t, there)); got.status != http.StatusSeeOther {
		t.Errorf("a sign-in that had begun: %d", got.status)
	}
	h.clock.Advance(5 * time.Minute)
	if before := b.cookies[sessionCookie]; !b.signedIn(t) || b.cookies[sessionCookie] == before {
		t.Error("the session is not renewed under the new key")
	}
	old := begun.copied()
	old.cookies[sessionCookie] = made(made(NewSealer(firstKey)).Seal(sessionPurpose, []byte("{}")))
	h.rekey(t, secondKey)
	if !b.signedIn(t) || old.signedIn(t) {
		t.Errorf("with the old key gone: new %t, old %t", b.signedIn(t), old.signedIn(t))
	}
}

// Breaks if a copied cookie outlives what ends the session.
func TestWhatEndsSessions(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, h *hall, b *browser){
		"signing out": func(t *testing.T, _ *hall, b *browser) {
			if got := b.send(t, http.MethodPost, signOutPath, nil); got.status != http.StatusSeeOther || !strings.HasPrefix(got.header.Get("Location"), signInPath) {
				t.Errorf("%d to %q", got.status, got.header.Get("Location"))
			}
			if b.cookies[sessionCookie] != "" {
				t.Error("the cookie stays")
			}
		},
		"being blocked": func(t *testing.T, h *hall, _ *browser) {
			_, err := h.accounts.Block(t.Context(), h.as(t, "root"), h.people["ann"].ID)
			check(t, err)
		},
		"being deactivated": func(t *testing.T, h *hall, _ *browser) {
			_, err := h.accounts.Deactivate(t.Context(), h.as(t, "root"), h.people["ann"].ID)
			check(t, err)
		},
		"being deleted": func(t *testing.T, h *hall, _ *browser) {
			check(t, h.accounts.Delete(t.Context(), h.as(t, "root"), h.people["ann"].ID))
		},
		"revoking everything": func(t *testing.T, h *hall, _ *browser) {
			check(t, h.revoker.RevokeEverything(t.Context(), h.as(t, "ann"), h.people["ann"].ID))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHall(t, hallOptions{})
			b := h.visitor(t)
			stolen := b.copied()
			other := h.visitor(t) // another browser of the same person
			end(t, h, b)
			for which, browser := range map[string]*browser{"the browser": b, "a copy": stolen, "another browser": other} {
				if browser.signedIn(t) {
					t.Errorf("%s is still signed in", which)
				}
			}
		})
	}
	t.Run("signing out without a session", func(t *testing.T) {
		h := newHall(t, hallOptions{})
		if got := h.signIn("").send(t, http.MethodPost, signOutPath, nil); got.status != http.StatusSeeOther {
			t.Errorf("%d", got.status)
		}
	})
}

// Breaks if another site can sign somebody out, or learn who is signed in.
func TestForeignSitesCannotSignAnybodyOut(t *testing.T) {
	h := newHall(t, hallOptions{})
	for name, header := range map[string]http.Header{
		"another site's form": {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.test"}},
		"a sibling host":      {"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://evil.example.test"}},
		"an old browser":      {"Sec-Fetch-Site": nil, "Origin": {"https://evil.test"}},
		"a sandboxed frame":   {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"null"}},
	} {
		for who, b := range map[string]*browser{"a visitor": h.visitor(t), "a stranger": h.signIn("")} {
			was := b.signedIn(t)
			forged := b.copied()
			forged.header = header
			if got := forged.send(t, http.MethodPost, signOutPath, nil); got.status != http.StatusForbidden || len(got.header.Values("Set-Cookie")) != 0 {
				t.Errorf("%s, %s: %d, cookies %v", name, who, got.status, got.header.Values("Set-Cookie"))
			}
			if b.signedIn(t) != was {
				t.Errorf("%s signs %s out", name, who)
			}
		}
	}
	if got := h.visitor(t).get(t, signOutPath); got.status != http.StatusMethodNotAllowed {
		t.Errorf("a link signs out: %d", got.status)
	}
}

// Breaks if the site believes a provider's statement that is not about this person, this client and this
// sign-in, or not verified.
func TestWhatProvidersSay(t *testing.T) {
	for name, test := range map[string]struct {
		claims map[string]any
		status int
		text   string
	}{
		"an unverified address":       {map[string]any{"email_verified": false}, http.StatusForbidden, "Your mail address is not verified"},
		"an address that may be":      {map[string]any{"email_verified": "true"}, http.StatusForbidden, "Your mail address is not verified"},
		"no word on the address":      {map[string]any{"email_verified": nil}, http.StatusForbidden, "Your mail address is not verified"},
		"no address":                  {map[string]any{"email": ""}, http.StatusForbidden, "Your mail address is not verified"},
		"an administrator's address":  {map[string]any{"email": "root@example.test"}, http.StatusForbidden, "An operator must link your account"},
		"an address of nobody":        {map[string]any{"email": "new@example.test"}, http.StatusForbidden, "You have no account here"},
		"two addresses":               {map[string]any{"email": []string{"ann@example.test"}}, http.StatusForbidden, "Your mail address is not verified"},
		"another client's token":      {map[string]any{"aud": "other"}, http.StatusForbidden, "You cannot be signed in"},
		"a token that others may use": {map[string]any{"aud": []string{identities.ClientID, "other"}}, http.StatusForbidden, "You cannot be signed in"},
		"a token issued to another":   {map[string]any{"azp": "other"}, http.StatusForbidden, "You cannot be signed in"},
		"another issuer":              {map[string]any{"iss": "https://login.example.org"}, http.StatusForbidden, "You cannot be signed in"},
		"another sign-in's nonce":     {map[string]any{"nonce": "other"}, http.StatusForbidden, "You cannot be signed in"},
		"no nonce":                    {map[string]any{"nonce": ""}, http.StatusForbidden, "You cannot be signed in"},
		"a token of yesterday":        {map[string]any{"exp": now.AddDate(0, 0, -1).Unix()}, http.StatusForbidden, "You cannot be signed in"},
		"nobody":                      {map[string]any{"sub": ""}, http.StatusBadRequest, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHall(t, hallOptions{})
			h.provider.Say(ann(test.claims))
			b := h.signIn("")
			wantRefused(t, b, b.through(t, tokensPath), test.status, test.text)
			if acct, err := h.table.Account(t.Context(), h.people["ann"].ID); err != nil || acct.Identity != (account.Identity{}) {
				t.Errorf("linked: %v, %v", acct.Identity, err)
			}
		})
	}
	t.Run("somebody else's address, once they have signed in", func(t *testing.T) {
		h := newHall(t, hallOptions{strangers: true})
		h.visitor(t)
		mallory := ann()
		mallory.Subject = "mallory"
		h.provider.Say(mallory)
		b := h.signIn("")
		wantRefused(t, b, b.through(t, tokensPath), http.StatusForbidden, "Your account belongs to another sign-in")
	})
	t.Run("a key that is not the provider's", func(t *testing.T) {
		h := newHall(t, hallOptions{})
		h.impostor = made(identities.New(h.provider.Issuer(), siteURL+callbackPath, h.clock, ann()))
		b := h.signIn("")
		wantRefused(t, b, b.through(t, tokensPath), http.StatusForbidden, "You cannot be signed in")
	})
	t.Run("a blocked person", func(t *testing.T) {
		h := newHall(t, hallOptions{})
		_, err := h.accounts.Block(t.Context(), h.as(t, "root"), h.people["ann"].ID)
		check(t, err)
		b := h.signIn("")
		wantRefused(t, b, b.through(t, tokensPath), http.StatusForbidden, "Your account is not active")
	})
}

func TestProviderDown(t *testing.T) {
	h := newHall(t, hallOptions{})
	h.down = true
	b := h.signIn("")
	if got := b.get(t, startPath); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "does not answer") {
		t.Errorf("down at the start: %d", got.status)
	}
	h.down = false
	back := pick(t, b.start(t, tokensPath)) // the failure is not kept
	h.down = true
	wantRefused(t, b, b.get(t, back), http.StatusServiceUnavailable, "does not answer")
	h.down = false
	if got := b.through(t, tokensPath); got.status != http.StatusSeeOther || !b.signedIn(t) {
		t.Errorf("up again: %d", got.status)
	}
}

func TestAdministratorsByClaim(t *testing.T) {
	h := newHall(t, hallOptions{adminClaim: "groups=latchkey"})
	for _, test := range []struct {
		groups any
		want   bool
	}{{[]string{"a", "latchkey"}, true}, {[]string{"a"}, false}, {"latchkey", true}, {"latchkey2", false}, {[]string{"latchkey"}, true}, {nil, false}} {
		h.provider.Say(ann(map[string]any{"groups": test.groups}))
		h.visitor(t)
		if acct, err := h.table.Account(t.Context(), h.people["ann"].ID); err != nil || acct.Admin != test.want {
			t.Errorf("groups %v: administrator %t, %v", test.groups, acct.Admin, err)
		}
	}
	for _, test := range []struct {
		claim    any
		required string
		want     bool
	}{
		{true, "c", true}, {false, "c", false}, {"true", "c", false}, {1.0, "c", false}, {nil, "c", false}, {[]any{true}, "c", false}, {map[string]any{"x": "y"}, "c=y", false},
		{"x", "c=x", true}, {"X", "c=x", false}, {[]any{"x", 1.0}, "c=x", true}, {[]any{[]any{"x"}}, "c=x", false}, {"a=b", "c=a=b", true}, {true, "c=true", false}, {true, "", false}, {true, "=x", false},
	} {
		if got := holds(map[string]any{"c": test.claim, "": true}, test.required); got != test.want {
			t.Errorf("%v for %q: %t", test.claim, test.required, got)
		}
	}
}

func TestSignInsAreThrottled(t *testing.T) {
	h := newHall(t, hallOptions{limit: 2})
	for range 2 {
		h.visitor(t)
	}
	b := h.signIn("")
	back := pick(t, b.start(t, tokensPath))
	if got := b.get(t, back); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("the third: %d", got.status)
	}
	// Callbacks that belong to no sign-in ask the provider nothing, and count for nobody.
	h = newHall(t, hallOptions{limit: 1})
	for range 5 {
		_ = h.signIn("").get(t, callbackPath+"?code=x&state=y")
	}
	h.visitor(t)
}

// Breaks if a page of the sign-in can be framed, cached or run foreign code, whatever it answers.
func TestHeadersOfTheSignIn(t *testing.T) {
	h := newHall(t, hallOptions{})
	b := h.signIn("")
	replies := map[string]reply{
		"a stranger's redirect": b.get(t, tokensPath), "the page": b.get(t, signInPath), "the start": b.get(t, startPath),
		"a failed end": b.get(t, callbackPath), "the end": b.through(t, tokensPath), "signing out": b.send(t, http.MethodPost, signOutPath, nil),
		"a wrong method": b.send(t, http.MethodPost, startPath, nil), "nothing": b.get(t, "/-/nothing"),
	}
	b.header = http.Header{"Sec-Fetch-Site": {"cross-site"}}
	replies["a forged request"] = b.send(t, http.MethodPost, signOutPath, nil)
	h.down = true
	h.rekey(t, firstKey)
	replies["a provider that is down"] = h.signIn("").get(t, startPath)
	for name, got := range replies {
		policy := got.header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: %q lacks %s", name, policy, part)
			}
		}
		if strings.Contains(policy, "unsafe") || got.header.Get("Cache-Control") != "no-store" || got.header.Get("Referrer-Policy") != "no-referrer" ||
			got.header.Get("X-Content-Type-Options") != "nosniff" || got.header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %v", name, got.header)
		}
	}
}
