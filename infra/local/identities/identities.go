// Package identities is an OpenID Connect provider for one machine. It signs in whoever somebody
// picks, without a password, so it must never be reachable from another machine.
//
// Start with New. A Provider serves discovery, the authorization code flow with PKCE, and its keys, as
// far as the page needs them. It promises to refuse what a good provider refuses: codes that were
// used, foreign redirect addresses, wrong verifiers. Tests make it say anything about a person.
package identities

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"latchkey/pkg/clock"
)

// ClientID is the id of the one client, which is public.
const ClientID = "latchkey"

// A Person can be picked. Claims are those of the ID token besides the protocol's own, and replace
// them if they have the same names.
type Person struct {
	Subject string
	Claims  map[string]any
}

// A Provider signs people in. It is safe for concurrent use.
type Provider struct {
	issuer, redirect string
	clock            clock.Clock
	key              *ecdsa.PrivateKey
	mux              *http.ServeMux

	mu     sync.Mutex
	people []Person
	codes  map[string]grant
}

// A grant is what a code stands for, until it is used.
type grant struct {
	person                     Person
	redirect, nonce, challenge string
	at                         time.Time
}

// codeLife is how long a code is good.
const codeLife = time.Minute

// New returns a provider with this issuer, a URL with or without a path. It sends people back to
// redirect alone.
func New(issuer, redirect string, c clock.Clock, people ...Person) (*Provider, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	parsed, err := url.Parse(issuer)
	if err != nil {
		return nil, err
	}
	p := &Provider{issuer: issuer, redirect: redirect, clock: c, key: key, people: people, mux: http.NewServeMux(), codes: map[string]grant{}}
	for path, handler := range map[string]http.HandlerFunc{
		"GET /.well-known/openid-configuration": p.discovery, "GET /keys": p.keys,
		"GET /authorize": p.authorize, "POST /token": p.token,
	} {
		method, path, _ := strings.Cut(path, " ")
		p.mux.HandleFunc(method+" "+strings.TrimSuffix(parsed.Path, "/")+path, handler)
	}
	return p, nil
}

func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

// Issuer is the URL of the provider.
func (p *Provider) Issuer() string { return p.issuer }

// Say replaces the people.
func (p *Provider) Say(people ...Person) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.people = people
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]any{
		"issuer": p.issuer, "authorization_endpoint": p.issuer + "/authorize", "token_endpoint": p.issuer + "/token",
		"jwks_uri": p.issuer + "/keys", "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"ES256"}, "code_challenge_methods_supported": []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{"none"}, "authorization_response_iss_parameter_supported": true,
	})
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	public, err := p.key.PublicKey.Bytes() // 4, x, y (SEC 1 section 2.3.3)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	half := len(public) / 2
	reply(w, http.StatusOK, map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "1",
		"x": encode(public[1 : half+1]), "y": encode(public[half+1:]),
	}}})
}

// page asks who wants to sign in.
var page = template.Must(template.New("").Parse(`<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"><title>Who are you?</title>
<h1>Who are you?</h1>
<p>This identity provider is for trying Latchkey on one machine. It asks for no password.</p>
<ul>{{range .}}<li><a href="{{.Link}}">{{.Name}}</a></li>{{end}}</ul>
</html>
`))

type choice struct{ Link, Name string }

// authorize shows who can be picked, or with a person sends the browser back with a code.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != ClientID || q.Get("redirect_uri") != p.redirect { // not to be sent anywhere
		http.Error(w, "unknown client or redirect_uri", http.StatusBadRequest)
		return
	}
	back := url.Values{"state": {q.Get("state")}, "iss": {p.issuer}}
	p.mu.Lock()
	defer p.mu.Unlock()
	picked, err := strconv.Atoi(q.Get("person"))
	switch {
	case q.Get("response_type") != "code", q.Get("code_challenge_method") != "S256", q.Get("code_challenge") == "",
		!strings.Contains(" "+q.Get("scope")+" ", " openid "):
		back.Set("error", "invalid_request")
	case q.Get("person") == "nobody":
		back.Set("error", "access_denied")
	case err != nil || picked < 0 || picked >= len(p.people):
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = page.Execute(w, p.choices(q)) // nothing helps when the client is gone
		return
	default:
		code := rand.Text()
		p.codes[code] = grant{p.people[picked], q.Get("redirect_uri"), q.Get("nonce"), q.Get("code_challenge"), p.clock.Now()}
		back.Set("code", code)
	}
	w.Header().Set("Location", p.redirect+"?"+back.Encode())
	w.WriteHeader(http.StatusFound)
}

func (p *Provider) choices(q url.Values) []choice {
	link := func(person string) string {
		with := maps.Clone(q)
		with.Set("person", person)
		return p.issuer + "/authorize?" + with.Encode()
	}
	choices := make([]choice, 0, len(p.people)+1)
	for i, person := range p.people {
		name, _ := person.Claims["name"].(string)
		choices = append(choices, choice{link(strconv.Itoa(i)), name})
	}
	return append(choices, choice{link("nobody"), "Nobody: cancel"})
}

// token exchanges a code, once.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	refuse := func(code string) { reply(w, http.StatusBadRequest, map[string]any{"error": code}) }
	if err := r.ParseForm(); err != nil || r.Form.Get("client_id") != ClientID {
		refuse("invalid_client")
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	code, now := r.Form.Get("code"), p.clock.Now()
	g, known := p.codes[code]
	delete(p.codes, code)
	challenge := sha256.Sum256([]byte(r.Form.Get("code_verifier")))
	if !known || now.Sub(g.at) >= codeLife || r.Form.Get("grant_type") != "authorization_code" ||
		r.Form.Get("redirect_uri") != g.redirect || encode(challenge[:]) != g.challenge {
		refuse("invalid_grant")
		return
	}
	const life = 5 * time.Minute
	claims := map[string]any{
		"iss": p.issuer, "sub": g.person.Subject, "aud": ClientID, "nonce": g.nonce,
		"iat": now.Unix(), "exp": now.Add(life).Unix(),
	}
	maps.Copy(claims, g.person.Claims)
	signed, err := p.sign(claims)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	reply(w, http.StatusOK, map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": int(life.Seconds()), "id_token": signed})
}

// sign returns a JWT (RFC 7519) with ES256 (RFC 7518 section 3.4).
func (p *Provider) sign(claims map[string]any) (string, error) {
	raw, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text := encode([]byte(`{"alg":"ES256","kid":"1"}`)) + "." + encode(raw)
	digest := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, p.key, digest[:])
	if err != nil {
		return "", err
	}
	const half = 32
	return text + "." + encode(append(r.FillBytes(make([]byte, half)), s.FillBytes(make([]byte, half))...)), nil
}

func encode(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func reply(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // nothing helps when the client is gone
}
