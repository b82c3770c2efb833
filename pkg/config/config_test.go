package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/config"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
)

const pepper = "a pepper for tests, of 33 letters"

// enough is the least environment that every function starts with.
func enough(more ...string) []string {
	return append([]string{"TABLE_NAME=latchkey", "PEPPER=" + pepper, "SENDER_ADDRESS=tokens@example.test", "PUBLIC_URL=https://tokens.example.test/"}, more...)
}

func TestDefaults(t *testing.T) {
	c, err := config.Read(enough())
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]any{
		"stage":              {c.Stage, "prod"},
		"prefix":             {c.Prefix, "lkpat_"},
		"shards":             {c.Shards, 16},
		"retention":          {c.Retention(), 90 * 24 * time.Hour},
		"rotation window":    {c.DefaultSettings().RotationWindow, 10 * time.Second},
		"last use":           {c.DefaultSettings().LastUsedInterval, 24 * time.Hour},
		"wrong bearers":      {c.WrongBearers, 60},
		"creations":          {c.Creations, 100},
		"leak reports":       {c.LeakReports, 10},
		"no slash at end":    {c.PublicURL, "https://tokens.example.test"},
		"all prefixes count": {strings.Join(c.Format().Prefixes, " "), "lkpat_ lkpat_ lkprj_ lkimp_"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %v, want %v", name, pair[0], pair[1])
		}
	}
	a, err := config.ReadAuthorizer(enough())
	if err != nil || a.CacheSeconds != 0 || a.Response != "simple" {
		t.Errorf("authorizer: cache %d, response %q, %v; a revoked token must not pass by default", a.CacheSeconds, a.Response, err)
	}
	s, err := config.ReadScan(enough())
	if err != nil || !slices.Equal(s.Days, []int{7}) || s.Concurrency != 4 || s.AnyTime {
		t.Errorf("scan: %+v, %v", s, err)
	}
	if want := "https://tokens.example.test/-/user_settings/personal_access_tokens"; s.PageURL() != want {
		t.Errorf("page is %s, want %s", s.PageURL(), want)
	}
}

func TestFaults(t *testing.T) {
	own := filepath.Join(t.TempDir(), "scopes.json")
	loose := `{"scopes":[{"name":"x","description":""}],"rules":[{"path":"/*","scopes":["x"]}],"loose_paths":["/p/*"]}`
	if err := os.WriteFile(own, []byte(loose), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		variable, says string
	}{
		{"TABLE_NAME=", "TABLE_NAME"},
		{"PEPPER=too short", "at least 32 bytes"},
		{"TOKEN_PREFIX=no spaces", "TOKEN_PREFIX"},
		{"TOKEN_PREFIX=" + strings.Repeat("x", 21), "TOKEN_PREFIX"},
		{"PUBLIC_URL=tokens.example.test", "PUBLIC_URL"},
		{"PUBLIC_URL=https://tokens.example.test?x=1", "PUBLIC_URL"},
		{"PUBLIC_URL=https://tokens.example.test#x", "PUBLIC_URL"},
		{"PUBLIC_URL=https://user:password@tokens.example.test", "PUBLIC_URL"},
		{"PUBLIC_URL=ftp://tokens.example.test", "PUBLIC_URL"},
		{"PUBLIC_URL=https://", "PUBLIC_URL"},
		{"PUBLIC_URL=https://[tokens", "PUBLIC_URL"},
		{"PUBLIC_URL=https://tokens.example.test/a b", "PUBLIC_URL"},
		{"LAST_USED_INTERVAL_SECONDS=0", "LAST_USED_INTERVAL_SECONDS"},
		{"LAST_USED_INTERVAL_SECONDS=often", "LAST_USED_INTERVAL_SECONDS"},
		{"WRONG_BEARERS_PER_MINUTE=-1", "WRONG_BEARERS_PER_MINUTE"},
		{"CREATIONS_PER_MINUTE=-1", "CREATIONS_PER_MINUTE"},
		{"LEAK_REPORTS_PER_MINUTE=-1", "LEAK_REPORTS_PER_MINUTE"},
		{"ALLOWED_ORIGIN=app.example.test", "ALLOWED_ORIGIN"},
		{"ALLOWED_ORIGIN=https://app.example.test/", "ALLOWED_ORIGIN"},
		{"ALLOWED_ORIGIN=*, https://app.example.test", "ALLOWED_ORIGIN"},
		{"RETENTION_DAYS=0", "RETENTION_DAYS"},
		{"SHARD_COUNT=0", "SHARD_COUNT"},
		{"SHARD_COUNT=100", "SHARD_COUNT"},
		{"SCOPES_FILE=/no/such/file", "SCOPES_FILE"},
		{"AUTHORIZER_CACHE_SECONDS=-1", "AUTHORIZER_CACHE_SECONDS"},
		{"AUTHORIZER_CACHE_SECONDS=3601", "AUTHORIZER_CACHE_SECONDS"},
		{"AUTHORIZER_HTTP_API_RESPONSE=both", "AUTHORIZER_HTTP_API_RESPONSE"},
		{"AUTHORIZER_CACHE_SECONDS=1", "AUTHORIZER_HTTP_API_RESPONSE"}, // simple unless it is set
		{"AUTHORIZER_IDENTITY_SOURCE=sourceIp", "AUTHORIZER_IDENTITY_SOURCE"},
		{"AUTHORIZER_IDENTITY_SOURCE=authorization", "AUTHORIZER_IDENTITY_SOURCE"},
		{"AUTHORIZER_IDENTITY_SOURCE=Authorization,PRIVATE-TOKEN", "AUTHORIZER_IDENTITY_SOURCE"},
		{"AUTHORIZER_WRONG_BEARER=401", "AUTHORIZER_WRONG_BEARER"},
	} {
		t.Run(test.variable, func(t *testing.T) {
			_, err := config.ReadAuthorizer(enough(test.variable))
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error = %v, want one about %s", err, test.says)
			}
		})
	}
	t.Run("a kept policy cannot look at loose paths", func(t *testing.T) {
		if _, err := config.ReadAuthorizer(enough("SCOPES_FILE="+own, "AUTHORIZER_CACHE_SECONDS=1", "AUTHORIZER_HTTP_API_RESPONSE=policy")); err == nil {
			t.Error("accepted")
		}
		if _, err := config.ReadAuthorizer(enough("SCOPES_FILE=" + own)); err != nil {
			t.Error(err)
		}
	})
	for _, test := range []struct{ variable, says string }{
		{"PEPPER=too short", "at least 32 bytes"},
		{"LEAK_REPORTS_PER_MINUTE=many", "LEAK_REPORTS_PER_MINUTE is not a whole number"},
	} {
		t.Run("leaks: "+test.variable, func(t *testing.T) {
			_, err := config.ReadLeaks(enough(test.variable))
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error = %v, want one about %s", err, test.says)
			}
		})
	}
	for _, test := range []struct{ variable, says string }{
		{"SENDER_ADDRESS=", "SENDER_ADDRESS"},
		{"SENDER_ADDRESS=not an address", "SENDER_ADDRESS is not a mail address"},
		{"PUBLIC_URL=", "PUBLIC_URL is missing"},
		{"DAILY_MAILS=0", "DAILY_MAILS is below 1"},
	} {
		t.Run("leakmails: "+test.variable, func(t *testing.T) {
			_, err := config.ReadLeakMails(enough("SENDER_ADDRESS=a@example.test", "PUBLIC_URL=https://example.test", test.variable))
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error = %v, want one about %s", err, test.says)
			}
		})
	}
	for _, nobody := range []string{"LEAK_QUEUE_URL=", "PUBLIC_URL="} {
		if _, err := config.ReadLeaks(enough(nobody)); err != nil {
			t.Errorf("leaks: %s: %v", nobody, err) // tokens end where nobody can be told
		}
	}
	for _, test := range []struct{ variable, says string }{
		{"NOTICE_DAYS=soon", "notice days"},
		{"NOTICE_DAYS=7,7", "notice days"},
		{"NOTICE_DAYS=0", "notice days"},
		{"SENDER_ADDRESS=", "SENDER_ADDRESS"},
		{"SENDER_ADDRESS=not an address", "SENDER_ADDRESS"},
		{"SCAN_CONCURRENCY=0", "SCAN_CONCURRENCY"},
		{"DAILY_MAILS=0", "DAILY_MAILS is below 1"},
		{"SCAN_CONCURRENCY=few", "SCAN_CONCURRENCY is not a whole number"},
		{"SCAN_ANY_TIME=sometimes", "SCAN_ANY_TIME is neither true nor false"},
		{"SCAN_WORKERS=101", "SCAN_WORKERS"},
		{"PUBLIC_URL=", "PUBLIC_URL"},
	} {
		t.Run("scan/"+test.variable, func(t *testing.T) {
			_, err := config.ReadScan(enough(test.variable))
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error = %v, want one about %s", err, test.says)
			}
		})
	}
}

// An operator who has to start a function once for each mistake gives up.
func TestEveryFaultIsReportedAtOnce(t *testing.T) {
	_, err := config.ReadAuthorizer([]string{
		"PEPPER=short", "TOKEN_PREFIX=a b", "SHARD_COUNT=0", "RETENTION_DAYS=x", "PUBLIC_URL=x", "AUTHORIZER_CACHE_SECONDS=9999",
	})
	for _, says := range []string{"TABLE_NAME", "pepper", "TOKEN_PREFIX", "SHARD_COUNT", "RETENTION_DAYS", "PUBLIC_URL", "AUTHORIZER_CACHE_SECONDS"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("nothing about %s in %v", says, err)
		}
	}
}

// The pepper makes every digest. If this fails, a mistake elsewhere writes it
// to the log.
func TestFaultsShowNoPepper(t *testing.T) {
	const canary = "canary canary canary canary canary"
	for _, name := range []string{
		"TABLE_NAME", "DYNAMODB_ENDPOINT", "PEPPER", "TOKEN_PREFIX", "LAST_USED_INTERVAL_SECONDS", "PUBLIC_URL", "RETENTION_DAYS", "SHARD_COUNT",
		"AUTHORIZER_CACHE_SECONDS", "AUTHORIZER_HTTP_API_RESPONSE", "AUTHORIZER_IDENTITY_SOURCE", "AUTHORIZER_WRONG_BEARER",
		"NOTICE_DAYS", "SENDER_ADDRESS", "SCAN_CONCURRENCY", "SCAN_WORKERS", "SCAN_ANY_TIME",
	} {
		bad := enough(name+"="+canary, "STAGE="+canary, "RETENTION_DAYS=0")
		_, first := config.Read(bad)
		_, second := config.ReadAuthorizer(bad)
		_, third := config.ReadScan(bad)
		for _, err := range []error{first, second, third} {
			if err == nil || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: error = %v", name, err)
			}
		}
	}
	for _, value := range []string{pepper, "short pepper"} {
		_, err := config.Read([]string{"PEPPER=" + value, "SHARD_COUNT=x"})
		if err == nil || strings.Contains(err.Error(), value) {
			t.Errorf("error = %v", err)
		}
	}
}

func TestOwnScopesJoinGitLabs(t *testing.T) {
	own := filepath.Join(t.TempDir(), "scopes.json")
	text := `{"scopes":[{"name":"orders:read","description":""}],"rules":[{"methods":["GET"],"path":"/orders*","scopes":["orders:read"]}]}`
	if err := os.WriteFile(own, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Read(enough("SCOPES_FILE=" + own))
	if err != nil {
		t.Fatal(err)
	}
	set, err := c.Scopes.Parse([]string{"orders:read", "api"})
	if err != nil {
		t.Fatal(err)
	}
	if !c.Scopes.Allows(set, scope.Everywhere(), "GET", "/orders") || c.Scopes.Allows(scope.Set{scope.API}, scope.Everywhere(), "GET", "/other") {
		t.Error("the operator's table does not take the place of GitLab's")
	}
}

func TestPepperIsRead(t *testing.T) {
	c, err := config.Read(enough())
	if err != nil {
		t.Fatal(err)
	}
	want, err := secret.NewPepper(pepper)
	if err != nil {
		t.Fatal(err)
	}
	bearer, err := c.Format().Choose("token-string-here123")
	if err != nil || c.Pepper.Digest(bearer) != want.Digest(bearer) {
		t.Errorf("digests differ, %v", err)
	}
}

func TestIdentitySource(t *testing.T) {
	for _, test := range []struct {
		source, seconds, header string
		address                 bool
	}{
		{"Authorization", "0", "", false},
		{"PRIVATE-TOKEN,sourceIp", "0", "", false},
		{"Authorization", "1", "Authorization", false},
		{"PRIVATE-TOKEN", "300", "PRIVATE-TOKEN", false},
		{"PRIVATE-TOKEN,sourceIp", "300", "PRIVATE-TOKEN", true},
	} {
		c, err := config.ReadAuthorizer(enough("AUTHORIZER_IDENTITY_SOURCE="+test.source, "AUTHORIZER_CACHE_SECONDS="+test.seconds, "AUTHORIZER_HTTP_API_RESPONSE=policy"))
		if header, address := c.IdentitySource(); err != nil || header != test.header || address != test.address {
			t.Errorf("%+v: %q, %t, %v", test, header, address, err)
		}
	}
}

// Breaks if the function starts without a bus, and then fails at its first event.
func TestEventsNeedABus(t *testing.T) {
	cfg, err := config.ReadEvents([]string{"EVENT_BUS=tokens", "STAGE=test", "EVENTBRIDGE_ENDPOINT=http://127.0.0.1:1"})
	if want := (config.Events{Stage: "test", Bus: "tokens", Endpoint: "http://127.0.0.1:1"}); err != nil || cfg != want {
		t.Errorf("%+v, %v", cfg, err)
	}
	if _, err := config.ReadEvents([]string{"EVENT_BUS="}); err == nil || !strings.Contains(err.Error(), "EVENT_BUS") {
		t.Errorf("without a bus: %v", err)
	}
}
