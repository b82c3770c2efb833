package config_test

import (
	"slices"
	"strings"
	"testing"

	"latchkey/pkg/config"
)

const firstKey, secondKey = "first-key-of-cookies-with-32-letters", "second-key-of-cookies-with-32-letters"

func page(more ...string) []string {
	return enough(append([]string{"SCHEDULE_GROUP=plans", "LIFETIME_RUN_ARN=arn:run", "LIFETIME_ROLE_ARN=arn:role", "UNSTARTED_QUEUE_ARN=arn:queue",
		"OIDC_ISSUER=https://login.example.com", "OIDC_CLIENT_ID=latchkey", "COOKIE_KEYS=" + firstKey + " " + secondKey}, more...)...)
}

func TestReadWeb(t *testing.T) {
	c, err := config.ReadWeb(page())
	if err != nil || c.CreateAccounts || c.AdminClaim != "" || c.SignIns != 30 || len(c.OIDCScopes) != 0 || !slices.Equal(c.CookieKeys, []string{firstKey, secondKey}) {
		t.Errorf("defaults: %+v, %v", c, err)
	}
	for _, good := range []string{
		"OIDC_ISSUER=http://127.0.0.1:8080/identities", "OIDC_ISSUER=https://login.example.com/tenant/", "OIDC_ADMIN_CLAIM=is_admin",
		"OIDC_ADMIN_CLAIM=cognito:groups=admins", "CREATE_ACCOUNTS=true", "OIDC_SCOPES=groups", "SIGN_INS_PER_MINUTE=0",
	} {
		if _, err := config.ReadWeb(page(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

// Breaks if the page starts with a provider or keys that cannot be trusted, or if a fault shows a key.
func TestFaultsOfThePage(t *testing.T) {
	for _, test := range []struct{ variable, says string }{
		{"OIDC_ISSUER=", "OIDC_ISSUER"}, {"OIDC_ISSUER=login.example.com", "OIDC_ISSUER"}, {"OIDC_ISSUER=http://login.example.com", "OIDC_ISSUER"},
		{"OIDC_ISSUER=https://login.example.com#x", "OIDC_ISSUER"}, {"OIDC_ISSUER=https://login.example.com?x", "OIDC_ISSUER"},
		{"OIDC_ISSUER=https://user@login.example.com", "OIDC_ISSUER"}, {"OIDC_ISSUER=http://localhost.example.com", "OIDC_ISSUER"},
		{"OIDC_CLIENT_ID=", "OIDC_CLIENT_ID"}, {"COOKIE_KEYS=", "COOKIE_KEYS"}, {"COOKIE_KEYS=too-short", "COOKIE_KEYS"},
		{"COOKIE_KEYS=" + firstKey + " too-short", "COOKIE_KEYS"}, {"COOKIE_KEYS=" + firstKey + " ", "COOKIE_KEYS"},
		{"OIDC_ADMIN_CLAIM==x", "OIDC_ADMIN_CLAIM"}, {"OIDC_ADMIN_CLAIM=groups=", "OIDC_ADMIN_CLAIM"},
		{"SCHEDULE_GROUP=", "SCHEDULE_GROUP"}, {"LIFETIME_RUN_ARN=", "LIFETIME_RUN_ARN"},
		{"CREATE_ACCOUNTS=perhaps", "CREATE_ACCOUNTS"}, {"SIGN_INS_PER_MINUTE=-1", "SIGN_INS_PER_MINUTE"},
	} {
		_, err := config.ReadWeb(page(test.variable))
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", test.variable, err)
		} else if strings.Contains(err.Error(), firstKey) || strings.Contains(err.Error(), "too-short") {
			t.Errorf("a fault shows a key: %v", err)
		}
	}
}
