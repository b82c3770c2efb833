package jwt

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"latchkey/pkg/apigateway"
	"latchkey/pkg/principal"
	"latchkey/pkg/registry"
	"latchkey/pkg/throttle"
	"latchkey/pkg/verify"
)

const (
	// issuer is the name of the issuer in every JWT, which a registry compares with its configuration.
	// The keys tell one deployment from another.
	issuer = "latchkey"
	// maxScopes is how many resources one JWT may be asked for. Each takes a look-up of its project.
	maxScopes = 32
	// maxForm is the longest form, in bytes.
	maxForm = 16 << 10
)

// An order is what a client asks for, in either form of the endpoint.
type order struct {
	service string
	bearer  string
	wanted  []registry.Access
}

// issue serves GET and POST /jwt/auth.
func (v *visit) issue() error {
	asked, err := v.order()
	if err != nil {
		return err
	}
	if asked.service != v.server.parts.Service {
		return errService
	}
	by, err := v.authenticate(asked.bearer)
	if err != nil {
		return err
	}
	if err := v.server.parts.Judge.Enter(by); err != nil {
		return err
	}
	held, err := v.server.parts.Judge.Cut(v.r.Context(), by, asked.wanted, v.now)
	if err != nil {
		return err
	}
	v.held = held
	return v.grant(by, held)
}

// order reads the request. Clients send GET with HTTP Basic; containerd and BuildKit first try POST with
// the password in a form (RFC 6749 section 4.3).
func (v *visit) order() (order, error) {
	authorization, err := apigateway.OnlyHeader(v.r.Header, "Authorization")
	if err != nil {
		return order{}, errTwice
	}
	if v.r.Method == http.MethodGet {
		return orderOf(v.r.URL.Query(), apigateway.PasswordOf(authorization))
	}
	body, err := io.ReadAll(http.MaxBytesReader(v.w, v.r.Body, maxForm))
	if err != nil {
		return order{}, errUnreadable
	}
	form, err := url.ParseQuery(string(body))
	switch {
	case err != nil:
		return order{}, errUnreadable
	case authorization != "" || len(form["password"]) > 1:
		return order{}, errTwice
	case form.Get("grant_type") != "password":
		return order{}, errGrant
	}
	return orderOf(form, form.Get("password"))
}

// orderOf reads the parameters that both forms have. A scope that nobody could have is left out, as one
// that this client may not have will be.
func orderOf(values url.Values, bearer string) (order, error) {
	if len(values["service"]) > 1 {
		return order{}, errTwice
	}
	var wanted []registry.Access
	for _, value := range values["scope"] {
		for text := range strings.FieldsSeq(value) {
			if access, ok := registry.ParseScope(text); ok {
				wanted = append(wanted, access)
			}
		}
	}
	if wanted = registry.Merge(wanted); len(wanted) > maxScopes {
		return order{}, errScopes
	}
	return order{values.Get("service"), bearer, wanted}, nil
}

func (v *visit) authenticate(bearer string) (principal.Principal, error) {
	parts := &v.server.parts
	by, err := parts.Verifier.Verify(v.r.Context(), bearer, v.request.Address)
	if refusal, known := errors.AsType[*verify.Refusal](err); known {
		v.by = principal.Principal{Account: refusal.Account, Token: refusal.Token}
		if event, stray := refusal.Stray(v.request, v.now); stray {
			if err := parts.Trail.Refusal(v.r.Context(), event); err != nil {
				parts.Log.Warn("event not recorded", "request_id", v.request.ID, "event", string(event.Name), "reason", err.Error())
			}
		}
	}
	if err != nil {
		code := verify.RefusalCode(err)
		if err = parts.Throttles.WrongBearer(err, v.request.Address, v.now); !errors.Is(err, throttle.ErrThrottled) {
			parts.Count("BearersRefused", code)
		}
		return principal.Principal{}, err
	}
	by.Request = v.request
	v.by = by
	return by, nil
}

// claims are the registered ones of RFC 7519 section 4.1, and what the JWT opens.
type claims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  string   `json:"aud"`
	Expires   int64    `json:"exp"`
	NotBefore int64    `json:"nbf"`
	IssuedAt  int64    `json:"iat"`
	ID        string   `json:"jti"`
	Access    []access `json:"access"`
}

type access struct {
	Type    registry.Type     `json:"type"`
	Name    string            `json:"name"`
	Actions []registry.Action `json:"actions"`
}

// grant replies with a JWT for held, which may be nothing: `docker login` asks for nothing.
func (v *visit) grant(by principal.Principal, held []registry.Access) error {
	issued := v.now.Truncate(time.Second)
	life := endOf(by, issued.Add(v.server.parts.Life)).Sub(issued)
	c := claims{
		Issuer: issuer, Subject: by.Account.Username, Audience: v.server.parts.Service,
		Expires: issued.Add(life).Unix(), NotBefore: issued.Unix(), IssuedAt: issued.Unix(), ID: rand.Text(), Access: []access{},
	}
	for _, a := range held {
		c.Access = append(c.Access, access(a))
	}
	encoded, err := json.Marshal(c)
	if err != nil {
		return err
	}
	signed, err := v.server.parts.Keys.sign(encoded)
	if err != nil {
		return err
	}
	v.server.parts.Count("JWTsIssued", "")
	return v.reply(http.StatusOK, map[string]any{
		"token": signed, "access_token": signed, "expires_in": int64(life.Seconds()), "issued_at": issued.Format(time.RFC3339),
		"scope": strings.Join(registry.Names(held), " "),
	})
}

// endOf returns when a JWT ends: at latest, or with the token's own end if that is sooner and known.
func endOf(by principal.Principal, latest time.Time) time.Time {
	for _, end := range []time.Time{by.Token.WorksUntil, by.Token.EndsUnder(by.Settings)} {
		if !end.IsZero() && end.Before(latest) {
			latest = end
		}
	}
	return latest.Truncate(time.Second)
}
