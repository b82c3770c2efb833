package compose

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"latchkey/pkg/administration"
	"latchkey/pkg/clock"
	"latchkey/pkg/directory"
	"latchkey/pkg/gateway/jwt"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/planner"
	"latchkey/pkg/registry"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/store"
	"latchkey/pkg/throttle"
	"latchkey/pkg/trail"
	"latchkey/pkg/verify"
	"latchkey/pkg/web"
)

// refuses checks that nothing is made of parts of which one is missing.
func refuses[P, T any](t *testing.T, parts P, build func(P) (*T, error)) {
	t.Helper()
	if _, err := build(parts); err != nil {
		t.Errorf("with everything: %v", err)
	}
	for i := range reflect.TypeFor[P]().NumField() {
		field := reflect.TypeFor[P]().Field(i)
		_, optional := field.Tag.Lookup("optional")
		lacking := parts
		reflect.ValueOf(&lacking).Elem().Field(i).SetZero()
		if made, err := build(lacking); !optional && (err == nil || made != nil || !strings.Contains(err.Error(), field.Name)) {
			t.Errorf("%T without %s: %v", parts, field.Name, err)
		}
	}
}

// Breaks if a use case is made without what guards it, because somebody forgot.
func TestNothingIsMadeWithoutItsParts(t *testing.T) {
	pepper, err := secret.NewPepper("pepper-of-thirty-two-bytes-12345")
	if err != nil {
		t.Fatal(err)
	}
	table, now, format := store.Open(nil, "latchkey", store.Options{}), clock.System{}, secret.Format{Prefixes: []string{"lkpat_"}}
	refuses(t, lifecycle.IssuerParts{
		Store: table, Reader: table, Projects: table, Bots: table, Gate: Must(administration.NewGate(table)), Scopes: scope.GitLab(),
		Pepper: pepper, Format: format, Settings: table, ImpersonationPrefix: "i", ProjectPrefix: "p", Clock: now, Random: rand.Reader,
	}, lifecycle.NewIssuer)
	refuses(t, lifecycle.RevokerParts{Store: table, Reader: table, Projects: table, Pepper: pepper, Format: format, Clock: now, Queue: table, Settings: table}, lifecycle.NewRevoker)
	refuses(t, lifecycle.ListerParts{Store: table, Reader: table, Projects: table, Scopes: scope.GitLab(), Pepper: pepper, Format: format, Clock: now}, lifecycle.NewLister)
	refuses(t, lifecycle.ExaminerParts{Reader: table, Settings: table, Scopes: scope.GitLab(), Clock: now}, lifecycle.NewExaminer)
	finder := directory.FinderParts{Reader: table, Projects: table, Clock: now}
	refuses(t, finder, directory.NewFinder)
	type directoryParts struct {
		Finder *directory.Finder
		Store  directory.Store
	}
	refuses(t, directoryParts{Must(directory.NewFinder(finder)), table}, func(p directoryParts) (*directory.Directory, error) {
		return directory.New(p.Finder, p.Store)
	})
	refuses(t, directory.SignInParts{Store: table, Reader: table, Trail: trail.NewNotes(table), Clock: now}, directory.NewSignIns)
	refuses(t, web.EntranceParts{
		Provider: web.NewProvider(web.ProviderSettings{}, now), SignIns: Must(directory.NewSignIns(directory.SignInParts{Store: table, Reader: table, Trail: trail.NewNotes(table), Clock: now})),
		Sealer: Must(web.NewSealer(strings.Repeat("k", web.MinCookieKeyLength))), Clock: now, Throttles: throttle.Unlimited(),
		Log: slog.New(slog.DiscardHandler), Count: func(string, string) {},
	}, web.NewEntrance)
	refuses(t, administration.Parts{Store: table, Planner: &planner.Planner{}, Clock: now, Reserved: []string{"lkpat_"}}, administration.New)
	refuses(t, administration.FeaturesParts{Store: table, Reader: table, Finder: table, Clock: now}, administration.NewFeatures)
	type gateParts struct{ Reader administration.SwitchReader }
	refuses(t, gateParts{table}, func(p gateParts) (*administration.Gate, error) { return administration.NewGate(p.Reader) })
	refuses(t, trail.Parts{Store: table, Reader: table, Projects: table, Clock: now}, trail.New)
	refuses(t, verify.Parts{Store: &table.Journal, Pepper: pepper, Format: format, Scopes: scope.GitLab(), Clock: now}, verify.New)
	images := registry.Parts{Projects: table, Scopes: scope.GitLab()}
	refuses(t, images, registry.NewJudge)
	refuses(t, jwt.Parts{
		Log: slog.New(slog.DiscardHandler), Clock: now, Trail: trail.NewNotes(table), Throttles: throttle.Unlimited(), Judge: Must(registry.NewJudge(images)),
		Verifier: Must(verify.New(verify.Parts{Store: &table.Journal, Pepper: pepper, Format: format, Scopes: scope.GitLab(), Clock: now})),
		Keys:     Must(jwt.NewKeys(strings.Repeat("k", jwt.MinSecretLength))), Service: "registry", Life: jwt.MinLife, Count: func(string, string) {},
	}, jwt.New)
}

// Breaks if a function starts without what Lambda gives it, and then fails at its first request.
func TestSDKConfig(t *testing.T) {
	complete := map[string]string{"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_SESSION_TOKEN": "session"}
	cfg, err := sdkConfig(func(name string) string { return complete[name] })
	if err != nil || cfg.Region != "eu-central-1" {
		t.Fatalf("%q, %v", cfg.Region, err)
	}
	got, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil || got.AccessKeyID != "id" || got.SecretAccessKey != "key" || got.SessionToken != "session" {
		t.Errorf("credentials of %q, %v", got.AccessKeyID, err)
	}
	for _, missing := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if _, err := sdkConfig(func(name string) string {
			if name == missing {
				return ""
			}
			return complete[name]
		}); err == nil {
			t.Errorf("starts without %s", missing)
		}
	}
}

// Breaks if a process that outlives the credentials of its start is refused by the table some hours later, or
// if its authorization token goes to another machine in the clear.
func TestCredentialsFromAnAddress(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "the authorization token" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		asked++
		lifetime := time.Minute // less than the window in which they are renewed
		if asked > 1 {
			lifetime = time.Hour
		}
		fmt.Fprintf(w, `{"AccessKeyId":"id%d","SecretAccessKey":"key","Token":"session","Expiration":%q}`,
			asked, clock.System{}.Now().Add(lifetime).Format(time.RFC3339))
	}))
	defer server.Close()
	env := map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "of the start", "AWS_SECRET_ACCESS_KEY": "key",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": server.URL, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "the authorization token",
	}
	get := func(name string) string { return env[name] }
	cfg, err := sdkConfig(get)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"id1", "id2", "id2"} {
		if got, err := cfg.Credentials.Retrieve(t.Context()); err != nil || got.AccessKeyID != want || got.SessionToken != "session" {
			t.Errorf("%d: credentials of %q, %v; want those of %q", i, got.AccessKeyID, err, want)
		}
	}
	for _, address := range []string{"http://credentials.example.test/", "http://192.0.2.7/", "ftp://127.0.0.1/", "127.0.0.1", "https://", "http://localhost.example.test/"} {
		env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = address
		if _, err := sdkConfig(get); err == nil {
			t.Errorf("%s would be asked for credentials", address)
		}
	}
}
