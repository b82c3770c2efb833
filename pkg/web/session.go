package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/principal"
)

// sessionCookie holds the sealed session. Browsers take a cookie with this prefix only over https, for
// this host alone and for every path, so no other host of the domain can plant one (RFC 6265bis
// section 4.1.3.2).
const sessionCookie = "__Host-latchkey"

const sessionPurpose = "session"

// read returns the session in the cookie of r. Whether it is still good is for the use case to say.
func (e *Entrance) read(r *http.Request) (account.Session, error) {
	value, err := onlyCookie(r, sessionCookie)
	if err != nil {
		return account.Session{}, account.ErrSessionEnded
	}
	raw, err := e.parts.Sealer.Open(sessionPurpose, value)
	if err != nil {
		return account.Session{}, account.ErrSessionEnded
	}
	var sealed sealedSession
	if err := json.Unmarshal(raw, &sealed); err != nil {
		return account.Session{}, account.ErrSessionEnded
	}
	return account.Session{
		Account: account.ID(sealed.Account), Number: sealed.Number,
		SignedInAt: time.Unix(sealed.SignedInAt, 0).UTC(), RenewedAt: time.Unix(sealed.RenewedAt, 0).UTC(),
	}, nil
}

// sealedSession is account.Session as the cookie holds it.
type sealedSession struct {
	Account    int64 `json:"a"`
	Number     int64 `json:"n"`
	SignedInAt int64 `json:"s"` // epoch seconds
	RenewedAt  int64 `json:"r"` // epoch seconds
}

// Visitor returns the person who sends r. It renews the session in the headers of w when that is due, and
// removes a cookie that can never be good again. Errors: account.ErrSessionEnded when nobody is signed
// in, a child of account.ErrInactive, others when it could not be decided.
func (e *Entrance) Visitor(ctx context.Context, w http.ResponseWriter, r *http.Request, request principal.Request) (principal.Principal, error) {
	session, err := e.read(r)
	if err != nil {
		return principal.Principal{}, err
	}
	visitor, err := e.parts.SignIns.Resume(ctx, session, request)
	if err != nil {
		if errors.Is(err, account.ErrSessionEnded) {
			setCookie(w, sessionCookie, "", 0)
		}
		return principal.Principal{}, err
	}
	now := e.parts.Clock.Now()
	if renewed, due := session.Renewed(now); due {
		if err := e.write(w, renewed, now); err != nil {
			return principal.Principal{}, err
		}
	}
	return visitor, nil
}

func (e *Entrance) write(w http.ResponseWriter, session account.Session, now time.Time) error {
	raw, err := json.Marshal(sealedSession{
		Account: int64(session.Account), Number: session.Number,
		SignedInAt: session.SignedInAt.Unix(), RenewedAt: session.RenewedAt.Unix(),
	})
	if err != nil {
		return err
	}
	sealed, err := e.parts.Sealer.Seal(sessionPurpose, raw)
	if err != nil {
		return err
	}
	setCookie(w, sessionCookie, sealed, session.EndsAt().Sub(now))
	return nil
}

// setCookie sets a cookie for this host that no script can read and no other site can send with a
// form. It replaces one that this reply has set before. A life of 0 removes the cookie.
func setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	cookie := &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(life.Seconds()),
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	if life <= 0 {
		cookie.MaxAge = -1
	}
	header := w.Header()
	lines := slices.DeleteFunc(header["Set-Cookie"], func(line string) bool { return strings.HasPrefix(line, name+"=") })
	header["Set-Cookie"] = append(lines, cookie.String())
}

// onlyCookie returns the value of a cookie that a browser sends once. Two cookies of one name mean
// that somebody planted one, and picking one would be a guess.
func onlyCookie(r *http.Request, name string) (string, error) {
	cookies := r.CookiesNamed(name)
	if len(cookies) != 1 {
		return "", http.ErrNoCookie
	}
	return cookies[0].Value, nil
}
