package gitlabapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"latchkey/pkg/administration"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/settings"
)

const (
	settingsPath = "/api/v4/application/settings"
	previewPath  = settingsPath + "/preview?max_personal_access_token_lifetime="
)

func putSettings(bearer, body string) request {
	return request{function: "settings", method: "PUT", target: settingsPath, bearer: bearer, json: body}
}

// set changes the settings as an administrator.
func (w *world) setting(tb testing.TB, change settings.Change) {
	tb.Helper()
	_, err := w.administration.Update(tb.Context(), principal.Principal{Account: w.users["root"]}, change)
	check(tb, err)
}

func ptr[T any](v T) *T { return &v }

func limited(tb testing.TB, w *world) { w.setting(tb, settings.Change{LifetimeDays: ptr(30)}) }

func settingsCases() []replyCase {
	form := func(body string) request {
		return request{function: "settings", method: "PUT", target: settingsPath, bearer: "root", form: body}
	}
	everything := `{"max_personal_access_token_lifetime":30,"require_personal_access_token_expiry":false,"enforce_pat_expiration":false,` +
		`"personal_access_token_prefix":"acme-","impersonation_enabled":false,"last_used_interval_seconds":600,` +
		`"inactive_resource_access_tokens_delete_after_days":7,"rotation_window_seconds":60,"service_access_tokens_expiration_enforced":false,"disable_personal_access_tokens":false}`
	return []replyCase{
		{"settings", get("settings", settingsPath, "root"), nil},
		{"settings that were changed", get("settings", settingsPath, "root"), limited},
		{"settings after the run", get("settings", settingsPath, "root"), func(tb testing.TB, w *world) {
			w.clock.Set(now.Add(-settings.Grace))
			limited(tb, w)
			w.clock.Set(now)
		}},
		{"settings as nobody special", get("settings", settingsPath, "owner"), nil},
		{"settings without a credential", get("settings", settingsPath, ""), nil},
		{"settings with a reading scope", get("settings", settingsPath, "root reading"), nil},
		{"settings while the engine is away", get("settings", settingsPath, "root"), func(_ testing.TB, w *world) {
			w.breakEngine(func(string) bool { return true })
		}},
		{"preview of a limit", get("settings", previewPath+"7", "root"), nil},
		{"preview of a limit that is no lower", get("settings", previewPath+"40", "root"), limited},
		{"preview of no limit", get("settings", previewPath, "root"), limited},
		{"preview while expiry is not enforced", get("settings", previewPath+"7", "root"), func(tb testing.TB, w *world) {
			w.setting(tb, settings.Change{ExpiryEnforced: ptr(false)})
		}},
		{"preview of nothing", get("settings", settingsPath+"/preview", "root"), nil},
		{"preview of a limit that cannot be", get("settings", previewPath+"366", "root"), nil},
		{"preview of a limit that is no number", get("settings", previewPath+"long", "root"), nil},
		{"preview as nobody special", get("settings", previewPath+"7", "owner"), nil},
		{"preview with a reading scope", get("settings", previewPath+"7", "root reading"), nil},
		{"change every setting", putSettings("root", everything), nil},
		{"change settings as nobody special", putSettings("owner", `{"max_personal_access_token_lifetime":30}`), nil},
		{"change settings without a credential", putSettings("", `{"max_personal_access_token_lifetime":30}`), nil},
		{"change settings with a reading scope", putSettings("root reading", `{"max_personal_access_token_lifetime":30}`), nil},
		{"change no setting", putSettings("root", `{}`), nil},
		{"change no setting as nobody special", putSettings("owner", `{}`), nil},
		{"change a setting that is not known", putSettings("root", `{"signup_enabled":false}`), nil},
		{"change settings beside unknown ones", putSettings("root", `{"signup_enabled":false,"max_personal_access_token_lifetime":30}`), nil},
		{"lift the limit with null", putSettings("root", `{"max_personal_access_token_lifetime":null}`), limited},
		{"lift the limit with 0", putSettings("root", `{"max_personal_access_token_lifetime":0}`), limited},
		{"lift the limit with an empty text", putSettings("root", `{"max_personal_access_token_lifetime":""}`), limited},
		{"lift the limit in a form", form("max_personal_access_token_lifetime="), limited},
		{"set the limit as text", putSettings("root", `{"max_personal_access_token_lifetime":"30"}`), nil},
		{"set the limit in a form", form("max_personal_access_token_lifetime=30&require_personal_access_token_expiry=0"), nil},
		{"set the limit in the query", request{function: "settings", method: "PUT", target: settingsPath + "?max_personal_access_token_lifetime=30", bearer: "root"}, nil},
		{"switches as texts", putSettings("root", `{"enforce_pat_expiration":"false","impersonation_enabled":"1"}`), nil},
		{"settings of the wrong types", putSettings("root", `{"max_personal_access_token_lifetime":"long","require_personal_access_token_expiry":"maybe","enforce_pat_expiration":7,`+
			`"impersonation_enabled":[],"last_used_interval_seconds":1.5,"inactive_resource_access_tokens_delete_after_days":-1,"personal_access_token_prefix":{}}`), nil},
		{"settings that cannot be", putSettings("root", `{"max_personal_access_token_lifetime":366,"last_used_interval_seconds":599,`+
			`"inactive_resource_access_tokens_delete_after_days":0,"rotation_window_seconds":61,"personal_access_token_prefix":"no spaces"}`), nil},
		{"a limit beyond any number", putSettings("root", `{"max_personal_access_token_lifetime":99999999999999999999}`), nil},
		{"a prefix that starts an earlier one", putSettings("root", `{"personal_access_token_prefix":"lkp"}`), nil},
		{"no prefix", putSettings("root", `{"personal_access_token_prefix":""}`), nil},
		{"disable personal tokens", putSettings("root", `{"disable_personal_access_tokens":true}`), nil},
		{"change settings when nothing can be planned", putSettings("root", `{"max_personal_access_token_lifetime":30}`), func(_ testing.TB, w *world) {
			w.planner.err = fault.ErrUnavailable
		}},
		{"change settings by POST", request{function: "settings", method: "POST", target: settingsPath, bearer: "root", json: `{}`}, nil},
		{"create an impersonation token while impersonation is off", post("issue", impersonations, "root", `{"name":"n","scopes":["api"]}`), impersonationOff},
		{"rotate an impersonation token while impersonation is off", request{function: "issue", method: "POST", target: everyToken + "/8388616/rotate", bearer: "root"}, func(tb testing.TB, w *world) {
			w.impersonate(tb, "owner")
			impersonationOff(tb, w)
		}},
		{"self with an impersonation token while impersonation is off", get("tokens", ownToken, "impersonation"), func(tb testing.TB, w *world) {
			w.impersonate(tb, "owner")
			impersonationOff(tb, w)
		}},
	}
}

func impersonationOff(tb testing.TB, w *world) {
	w.setting(tb, settings.Change{Impersonation: ptr(false)})
}

func TestRepliesAboutSettings(t *testing.T) { checkReplies(t, settingsCases()) }

func TestLogLinesAboutSettings(t *testing.T) {
	for name, r := range map[string]request{
		"change settings": putSettings("root", `{"max_personal_access_token_lifetime":30}`),
		"bad settings":    putSettings("root", `{"max_personal_access_token_lifetime":366}`),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			throughLambda(t, w, r)
			golden(t, "log of "+name, w.logs.lines(t))
		})
	}
	t.Run("a plan that cannot be called off", func(t *testing.T) {
		w := newWorld(t)
		limited(t, w)
		var told error
		parts := w.administering()
		parts.Uncancelled = func(_ context.Context, err error) { told = err }
		w.administration = made(administration.New(parts))
		w.planner.err = fault.ErrUnavailable
		if got := throughLambda(t, w, putSettings("root", `{"max_personal_access_token_lifetime":null}`)); got.status != 200 {
			t.Errorf("%s", got)
		}
		if !errors.Is(told, fault.ErrUnavailable) {
			t.Errorf("told of %v", told)
		}
	})
}

// A change holds for what is created right after it.
func TestSettingsHoldForNewTokens(t *testing.T) {
	create := func(expires string) string {
		if expires == "" {
			return `{"name":"n","scopes":["api"]}`
		}
		return fmt.Sprintf(`{"name":"n","scopes":["api"],"expires_at":%q}`, expires)
	}
	today := clock.DayOf(now)
	for _, c := range []struct {
		name    string
		change  settings.Change
		expires clock.Day
		status  int
		want    string // the day on which it ends
	}{
		{"on the last day of the limit", settings.Change{LifetimeDays: ptr(30)}, today.AddDays(30), 201, today.AddDays(30).String()},
		{"a day beyond the limit", settings.Change{LifetimeDays: ptr(30)}, today.AddDays(31), 422, ""},
		{"without a day under a limit", settings.Change{LifetimeDays: ptr(30)}, clock.Day{}, 201, today.AddDays(30).String()},
		{"without a day where none is needed", settings.Change{ExpiryRequired: ptr(false)}, clock.Day{}, 201, ""},
		{"far ahead where none is needed", settings.Change{ExpiryRequired: ptr(false)}, today.AddDays(5000), 201, today.AddDays(5000).String()},
		{"without a day under a limit where none is needed", settings.Change{ExpiryRequired: ptr(false), LifetimeDays: ptr(30)}, clock.Day{}, 201, today.AddDays(30).String()},
		{"a day beyond the limit where none is needed", settings.Change{ExpiryRequired: ptr(false), LifetimeDays: ptr(30)}, today.AddDays(31), 422, ""},
		{"on the last day there is", settings.Change{}, today.AddDays(365), 201, today.AddDays(365).String()},
		{"a day later", settings.Change{}, today.AddDays(366), 422, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.setting(t, c.change)
			body := create("")
			if !c.expires.IsZero() {
				body = create(c.expires.String())
			}
			got := throughLambda(t, w, post("issue", forOwner, "root", body))
			if got.status != c.status {
				t.Fatalf("%s", got)
			}
			if c.status != 201 {
				return
			}
			var made struct {
				Token     string  `json:"token"`
				ExpiresAt *string `json:"expires_at"`
			}
			check(t, json.Unmarshal([]byte(got.body), &made))
			if (made.ExpiresAt == nil) != (c.want == "") || made.ExpiresAt != nil && *made.ExpiresAt != c.want {
				t.Errorf("%s", got)
			}
		})
	}
}

// A successor ends by the settings as well.
func TestSettingsHoldForRotation(t *testing.T) {
	today := clock.DayOf(now)
	for _, c := range []struct {
		name    string
		change  settings.Change
		expires string
		status  int
		want    any
	}{
		{"a week", settings.Change{}, "", 200, today.AddDays(7).String()},
		{"the limit, where that is less", settings.Change{LifetimeDays: ptr(3)}, "", 200, today.AddDays(3).String()},
		{"a week under a longer limit", settings.Change{LifetimeDays: ptr(30)}, "", 200, today.AddDays(7).String()},
		{"never, where no end is needed", settings.Change{ExpiryRequired: ptr(false)}, "", 200, nil},
		{"not beyond the limit", settings.Change{LifetimeDays: ptr(3)}, today.AddDays(4).String(), 400, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.setting(t, c.change)
			body := ""
			if c.expires != "" {
				body = fmt.Sprintf(`{"expires_at":%q}`, c.expires)
			}
			got := throughLambda(t, w, post("issue", everyToken+"/"+readingToken+"/rotate", "owner", body))
			if got.status != c.status {
				t.Fatalf("%s", got)
			}
			if c.status == 200 && got.field(t, "expires_at") != c.want {
				t.Errorf("%s", got)
			}
		})
	}
}

// A new prefix is for new personal tokens; earlier ones work on, and so do those of other kinds.
func TestPrefixOfTheSettings(t *testing.T) {
	w := newWorld(t)
	before := throughLambda(t, w, post("issue", forOwner, "root", validCreation))
	w.bearers["before"] = before.field(t, "token").(string)
	for _, prefix := range []string{"acme-", ""} {
		w.setting(t, settings.Change{Prefix: &prefix})
		made := throughLambda(t, w, post("issue", forOwner, "root", validCreation))
		w.bearers["new"], _ = made.field(t, "token").(string)
		if !strings.HasPrefix(w.bearers["new"], prefix) || len(w.bearers["new"]) != len(prefix)+36 {
			t.Errorf("a bearer of %d characters under the prefix %q", len(w.bearers["new"]), prefix)
		}
		w.logs.secret(w.bearers["new"])
		impersonation := throughLambda(t, w, post("issue", impersonations, "root", `{"name":"n","scopes":["api"]}`))
		if bearer, _ := impersonation.field(t, "token").(string); !strings.HasPrefix(bearer, "lkimp_") {
			t.Error("an impersonation token has another prefix")
		}
		for _, name := range []string{"new", "before", "owner"} {
			if got := throughLambda(t, w, get("tokens", ownToken, name)); got.status != 200 {
				t.Errorf("%s under %q: %s", name, prefix, got)
			}
		}
	}
}
