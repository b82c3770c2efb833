package web

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
)

// sessionCookie holds the sealed session. Browsers take a cookie with this prefix only over https, for
// this host alone and for every path, so no other host of the domain can plant one (RFC 6265bis
// section 4.1.3.2).
const sessionCookie = "__Host-latchkey"

const sessionPurpose = "session"

// A Doorkeeper says who a session belongs to; see directory.SignIns.
type Doorkeeper interface {
	// Resume returns the principal of a session that is good. Errors: account.ErrSessionEnded, a
	// child of account.ErrInactive, fault.ErrUnavailable, fault.ErrCorrupt.
	Resume(ctx context.Context, session account.Session, request principal.Request) (principal.Principal, error)
}

// Sessions keep people signed in, with one sealed cookie. They are safe for concurrent use.
type Sessions struct{ parts SessionParts }

// SessionParts hold the dependencies of Sessions. All are required.
type SessionParts struct {
	Sealer     *Sealer
	Doorkeeper Doorkeeper
	Clock      clock.Clock
}

// NewSessions returns Sessions, or an error that names a missing part.
func NewSessions(parts SessionParts) (*Sessions, error) {
	if err := fault.Missing(parts); err != nil {
		return nil, err
	}
	return &Sessions{parts}, nil
}

// sealedSession is account.Session as the cookie holds it.
type sealedSession struct {
	Account    int64 `json:"a"`
	Number     int64 `json:"n"`
	SignedInAt int64 `json:"s"` // epoch seconds
	RenewedAt  int64 `json:"r"` // epoch seconds
}

// Visitor returns the person who sends r. It renews the session in the headers of w when that is due,
// and clears a cookie that can never be good again. Errors: account.ErrSessionEnded when nobody is
// signed in, or a child of account.ErrInactive; others when it could not be decided.
func (s *Sessions) Visitor(ctx context.Context, w http.ResponseWriter, r *http.Request, request principal.Request) (principal.Principal, error) {
	session, err := s.read(r)
	if err != nil {
		return principal.Principal{}, err
	}
	visitor, err := s.parts.Doorkeeper.Resume(ctx, session, request)
	if err != nil {
		if errors.Is(err, account.ErrSessionEnded) {
			s.Clear(w)
		}
		return principal.Principal{}, err
	}
	if renewed, due := session.Renewed(s.parts.Clock.Now()); due {
		if err := s.write(w, renewed); err != nil {
			return principal.Principal{}, err
		}
	}
	return visitor, nil
}

// Begin signs acct in: a new session replaces whatever cookie the browser had.
func (s *Sessions) Begin(w http.ResponseWriter, acct account.Account) error {
	return s.write(w, account.NewSession(acct, s.parts.Clock.Now()))
}

// Clear removes the cookie from the browser. Copies of it stay good; see directory.SignIns.SignOut.
func (s *Sessions) Clear(w http.ResponseWriter) { setCookie(w, sessionCookie, "", 0) }

func (s *Sessions) read(r *http.Request) (account.Session, error) {
	value, err := onlyCookie(r, sessionCookie)
	if err != nil {
		return account.Session{}, account.ErrSessionEnded
	}
	raw, err := s.parts.Sealer.Open(sessionPurpose, value)
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

func (s *Sessions) write(w http.ResponseWriter, session account.Session) error {
	raw, err := json.Marshal(sealedSession{
		Account: int64(session.Account), Number: session.Number,
		SignedInAt: session.SignedInAt.Unix(), RenewedAt: session.RenewedAt.Unix(),
	})
	if err != nil {
		return err
	}
	sealed, err := s.parts.Sealer.Seal(sessionPurpose, raw)
	if err != nil {
		return err
	}
	setCookie(w, sessionCookie, sealed, session.EndsAt().Sub(s.parts.Clock.Now()))
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
	earlier := w.Header()["Set-Cookie"]
	w.Header().Del("Set-Cookie")
	for _, line := range earlier {
		if len(line) <= len(name) || line[:len(name)+1] != name+"=" {
			w.Header().Add("Set-Cookie", line)
		}
	}
	http.SetCookie(w, cookie)
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
