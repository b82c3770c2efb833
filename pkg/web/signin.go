package web

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/throttle"
)

// An Entrance lets people in and out, and says who sends a request: sign-in with an OpenID Connect
// provider, and the session in a cookie. It is safe for concurrent use.
type Entrance struct{ parts EntranceParts }

// EntranceParts hold the dependencies of an Entrance. All are required.
type EntranceParts struct {
	Provider  *Provider
	SignIns   *directory.SignIns
	Sealer    *Sealer
	Clock     clock.Clock
	Throttles *throttle.Throttles
	Log       *slog.Logger
	// Count adds one to a metric; see telemetry.Metrics.Count.
	Count func(metric, code string)
}

// NewEntrance returns an Entrance, or an error that names a missing part.
func NewEntrance(parts EntranceParts) (*Entrance, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Entrance{parts}, nil
}

const (
	startPath    = signInPath + "/start"
	callbackPath = signInPath + "/callback"
	signOutPath  = "/-/sign_out"
)

func (e *Entrance) routes() []route {
	return []route{
		{method: http.MethodGet, path: signInPath, handle: e.ask, open: true},
		{method: http.MethodGet, path: startPath, handle: e.start, open: true},
		{method: http.MethodGet, path: callbackPath, handle: e.finish, open: true},
		// Open, so that it also removes a cookie that is no longer good.
		{method: http.MethodPost, path: signOutPath, handle: e.signOut, open: true},
	}
}

// attemptCookie holds a sealed attempt: the browser that starts a sign-in is the only one that can
// finish it.
const (
	attemptCookie  = "__Host-latchkey-sign-in"
	attemptPurpose = "sign-in"
	// attemptLife is how long people have for a sign-in.
	attemptLife = 10 * time.Minute
)

// An attempt is a sign-in that has begun.
type attempt struct {
	State     string `json:"s"`
	Nonce     string `json:"n"`
	Verifier  string `json:"v"` // RFC 7636
	ReturnTo  string `json:"r"`
	StartedAt int64  `json:"t"` // epoch seconds
}

// A signInPage asks people to sign in, or says why they are not.
type signInPage struct {
	Title, Text string
	Provider    string
	ReturnTo    string
	// SignedOut says that the person has just signed out.
	SignedOut bool
}

// ask shows the page with the link to the provider. Sign-in is a link and not a redirect, because a
// browser would follow no redirect to the provider from a form (form-action), and because somebody who
// has signed out would be signed in again at once.
func (e *Entrance) ask(v *visit) error {
	back := returnPath(v.r.FormValue("return_to"))
	if _, err := e.Visitor(v.ctx, v.w, v.r, v.request); err == nil {
		return v.redirect(back)
	}
	return v.render(http.StatusOK, "sign_in", "Sign in", signInPage{
		Title: "Sign in", Provider: e.parts.Provider.Name(), ReturnTo: back, SignedOut: v.r.Form.Has("signed_out"),
	})
}

// start sends the person to the provider.
func (e *Entrance) start(v *visit) error {
	a := attempt{
		State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(),
		ReturnTo: returnPath(v.r.FormValue("return_to")), StartedAt: v.now.Unix(),
	}
	there, err := e.parts.Provider.start(v.ctx, v.address+callbackPath, a)
	if err != nil {
		return e.refuse(v, err)
	}
	raw, err := json.Marshal(a)
	if err != nil {
		return err
	}
	sealed, err := e.parts.Sealer.Seal(attemptPurpose, raw)
	if err != nil {
		return err
	}
	setCookie(v.w, attemptCookie, sealed, attemptLife)
	return v.redirectTo(there)
}

// errAttempt means that this browser has not started the sign-in that it wants to finish, or has
// finished it, or took too long.
var errAttempt = fmt.Errorf("%w: no such sign-in", fault.ErrInput)

// errCancelled means that the provider did not sign the person in.
var errCancelled = fmt.Errorf("%w: not signed in by the provider", fault.ErrForbidden)

// finish signs in who comes back from the provider. An attempt ends here whatever comes of it.
func (e *Entrance) finish(v *visit) error {
	a, err := e.attempt(v)
	setCookie(v.w, attemptCookie, "", 0)
	if err != nil {
		return e.refuse(v, err)
	}
	if err := e.parts.Throttles.SignIn(v.request.Address, v.now); err != nil {
		return err
	}
	if code := v.r.Form.Get("error"); code != "" {
		return e.refuse(v, fmt.Errorf("%w: %s", errCancelled, errorCode(code)))
	}
	person, err := e.parts.Provider.finish(v.ctx, v.address+callbackPath, v.r.Form.Get("code"), a)
	if err != nil {
		return e.refuse(v, err)
	}
	acct, err := e.parts.SignIns.SignIn(v.ctx, v.request, person)
	if err != nil {
		return e.refuse(v, err)
	}
	if err := e.write(v.w, account.NewSession(acct, v.now), v.now); err != nil {
		return err
	}
	e.parts.Count("SignIns", "signed_in")
	e.parts.Log.Info("person signed in", "request_id", v.request.ID, "owner", int64(acct.ID))
	return v.redirect(a.ReturnTo)
}

// attempt returns the attempt that the provider's answer belongs to.
func (e *Entrance) attempt(v *visit) (attempt, error) {
	var a attempt
	value, err := onlyCookie(v.r, attemptCookie)
	if err != nil {
		return a, errAttempt
	}
	raw, err := e.parts.Sealer.Open(attemptPurpose, value)
	if err != nil {
		return a, errAttempt
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return a, errAttempt
	}
	state, issuer := v.r.Form["state"], v.r.Form["iss"]
	switch {
	case a.State == "" || len(state) != 1 || subtle.ConstantTimeCompare([]byte(state[0]), []byte(a.State)) != 1:
		return a, errAttempt
	case !v.now.Before(time.Unix(a.StartedAt, 0).Add(attemptLife)):
		return a, errAttempt
	case len(v.r.Form["code"])+len(v.r.Form["error"]) != 1:
		return a, errAttempt
	case issuer != nil && (len(issuer) != 1 || issuer[0] != e.parts.Provider.settings.Issuer): // RFC 9207
		return a, errAttempt
	}
	a.ReturnTo = returnPath(a.ReturnTo)
	return a, nil
}

// signOut ends all sessions of the person, so that a copy of the cookie is worth nothing.
func (e *Entrance) signOut(v *visit) error {
	by, err := e.Visitor(v.ctx, v.w, v.r, v.request)
	switch kind := fault.KindOf(err); {
	case err == nil:
		if err := e.parts.SignIns.SignOut(v.ctx, by); err != nil {
			return err
		}
		e.parts.Log.Info("person signed out", "request_id", v.request.ID, "owner", int64(by.Account.ID))
	case kind != fault.Unauthenticated && kind != fault.Forbidden:
		return err // the session may be good, and must not seem to have ended
	}
	setCookie(v.w, sessionCookie, "", 0)
	return v.redirect(signInPath + "?signed_out=1")
}

// signInWords say why nobody is signed in, and what helps.
var signInWords = []struct {
	err         error
	title, text string
}{
	{errAttempt, "This sign-in has ended", "It took too long, was finished before, or was started in another browser. Nothing is wrong: start again."},
	{errCode, "This sign-in has ended", "The identity provider does not accept it any more. Start again."},
	{errCancelled, "You are not signed in", "The identity provider has not signed you in. Start again, or ask whoever runs it."},
	{errIDToken, "You cannot be signed in", "What the identity provider says about you cannot be trusted. Tell your administrator the number of this request."},
	{errProvider, "The identity provider does not answer", "Nothing was changed. Try again in a moment."},
	{directory.ErrUnverified, "Your mail address is not verified", "The identity provider does not vouch for your mail address. Verify it there, and sign in again."},
	{directory.ErrStranger, "You have no account here", "Ask an administrator for one. It must have the mail address that the identity provider knows."},
	{directory.ErrOperatorLinks, "An operator must link your account", "The account with your mail address is an administrator's. Signing in cannot link it to you; an operator can."},
	{directory.ErrOtherIdentity, "Your account belongs to another sign-in", "The account with your mail address is linked to another identity. Sign in as you did before, or ask an administrator."},
	{account.ErrInactive, "Your account is not active", "It is blocked or deactivated. Ask an administrator."},
}

// refuse shows why nobody is signed in, and the way to try again. Only the kind of the error decides
// the status.
func (e *Entrance) refuse(v *visit, err error) error {
	for _, words := range signInWords {
		if !errors.Is(err, words.err) {
			continue
		}
		v.err = err
		status := refusalOf(err).status
		e.parts.Count("SignIns", strings.ReplaceAll(strings.ToLower(http.StatusText(status)), " ", "_"))
		return v.render(status, "sign_in", words.title, signInPage{
			Title: words.title, Text: words.text, Provider: e.parts.Provider.Name(), ReturnTo: tokensPath,
		})
	}
	return err
}

// returnPath returns where to go after a sign-in: a path of this site with its query, or the list of
// tokens for everything else. Browsers read a backslash as a slash and skip control characters (WHATWG
// URL), so there are none.
func returnPath(wanted string) string {
	const longest = 2400 // fits into a cookie
	parsed, err := url.Parse(wanted)
	switch {
	case err != nil, len(wanted) > longest, !strings.HasPrefix(wanted, "/-/"),
		strings.ContainsAny(wanted, "\\#"), strings.ContainsFunc(wanted, func(c rune) bool { return c <= ' ' || c == 0x7f }),
		parsed.RawPath != "", path.Clean(parsed.Path) != strings.TrimSuffix(parsed.Path, "/"),
		parsed.Path == signOutPath, parsed.Path == signInPath, strings.HasPrefix(parsed.Path, signInPath+"/"):
		return tokensPath
	}
	return wanted
}
