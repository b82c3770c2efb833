package config

import (
	"errors"
	"net/url"
	"slices"
	"strings"
)

// Web holds the variables of functions/web.
type Web struct {
	Common
	Plans
	// Issuer is the OpenID Connect provider's URL, exactly as its ID tokens name it.
	Issuer string `env:"OIDC_ISSUER,required,notEmpty"`
	// ClientID and ClientSecret are the registration there. A public client has no secret.
	ClientID     string `env:"OIDC_CLIENT_ID,required,notEmpty"`
	ClientSecret string `env:"OIDC_CLIENT_SECRET"`
	// OIDCScopes are requested besides openid, profile and email.
	OIDCScopes []string `env:"OIDC_SCOPES" envSeparator:" "`
	// AdminClaim is the claim for administrators: a name, or name=value.
	AdminClaim string `env:"OIDC_ADMIN_CLAIM"`
	// CreateAccounts says that people without an account get one when they sign in.
	CreateAccounts bool `env:"CREATE_ACCOUNTS" envDefault:"false"`
	// CookieKeys seal cookies, the newest first.
	CookieKeys []string `env:"COOKIE_KEYS,required,notEmpty" envSeparator:" "`
	// SignIns is how many sign-ins an address may finish in a minute; 0 is no limit.
	SignIns int `env:"SIGN_INS_PER_MINUTE" envDefault:"30"`
}

// minCookieKey is the length of the shortest cookie key, in bytes.
const minCookieKey = 32

// ReadWeb returns the variables of functions/web.
func ReadWeb(environ []string) (Web, error) {
	c, err := parse[Web](environ)
	list := checklist{err, c.complete()}
	list.fault(c.Issuer != "" && !validIssuer(c.Issuer), "OIDC_ISSUER is not an https URL without user, query and fragment")
	name, value, valued := strings.Cut(c.AdminClaim, "=")
	list.fault(c.AdminClaim != "" && (name == "" || valued && value == ""), "OIDC_ADMIN_CLAIM is neither a name nor name=value")
	list.fault(slices.ContainsFunc(c.CookieKeys, func(key string) bool { return len(key) < minCookieKey }),
		"COOKIE_KEYS has a key of fewer than %d characters", minCookieKey)
	list.fault(c.SignIns < 0, "SIGN_INS_PER_MINUTE is below 0")
	return c, errors.Join(list...)
}

// validIssuer accepts http only for a provider on this machine.
func validIssuer(issuer string) bool {
	u, err := url.Parse(issuer)
	return err == nil && u.Host != "" && u.User == nil && !strings.ContainsAny(issuer, "?# ") &&
		(u.Scheme == "https" || u.Scheme == "http" && u.Hostname() == "127.0.0.1")
}
