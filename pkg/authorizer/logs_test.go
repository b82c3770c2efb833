package authorizer_test

import (
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"latchkey/infra/golden"
	"latchkey/pkg/authorizer"
	"latchkey/pkg/fault"
)

// What operators' filters and alarms look for stays as it is.
func TestLogLines(t *testing.T) {
	w := newWorld(t)
	w.logs.Secret("canary")
	for _, name := range []string{"owner", "expired", "revoked", "blocked"} {
		decide(t, w.authorizer(t, false), restEvent(w.bearers[name], "GET", "/orders"))
	}
	for _, event := range []map[string]any{
		restEvent(unknown, "GET", "/orders"), restEvent("", "GET", "/orders"),
		restEvent(w.bearers["owner"], "GET", "/canary//x"), httpEvent(w.bearers["reading"], "POST", "/orders"),
	} {
		decide(t, w.authorizer(t, true), event)
	}
	w.store.err = fmt.Errorf("%w: BatchGetItem: request send failed, connection reset", fault.ErrUnavailable)
	for _, event := range []map[string]any{restEvent(w.bearers["owner"], "GET", "/orders"), {"type": "canary"}} {
		if _, err := w.authorizer(t, false).Decide(t.Context(), raw(t, event)); err == nil {
			t.Error("decided")
		}
	}
	golden.Check(t, "log of the authorizer", w.logs.Lines(t))
}

// If this fails, what an administrator did is put down to the owner.
func TestLogsNameTheImpersonator(t *testing.T) {
	for name, change := range map[string]func(*world){
		"revoked": func(w *world) { w.tokens["impersonation"].RevokedAt = now },
		"without the scope": func(w *world) {
			w.tokens["impersonation"].Scopes = nil
		},
	} {
		w := newWorld(t)
		change(w)
		decide(t, w.authorizer(t, true), httpEvent(w.bearers["impersonation"], "GET", "/orders"))
		if line := w.logs.String(); !strings.Contains(line, `"owner":2`) || !strings.Contains(line, `"impersonator_id":1`) {
			t.Errorf("%s: logged %s", name, line)
		}
	}
}

// Every refusal is counted once, under the code that dashboards show.
func TestRefusalsAreCountedOnce(t *testing.T) {
	w := newWorld(t)
	twice := restEvent("", "GET", "/orders")
	twice["multiValueHeaders"] = map[string][]string{"PRIVATE-TOKEN": {"a", "b"}}
	for code, event := range map[string]map[string]any{
		"expired": restEvent(w.bearers["expired"], "GET", "/orders"),
		"revoked": restEvent(w.bearers["revoked"], "GET", "/orders"),
		"owner":   restEvent(w.bearers["sleeper"], "GET", "/orders"),
		"missing": restEvent("", "GET", "/orders"),
		"unknown": restEvent(unknown, "GET", "/orders"),
		"path":    restEvent(w.bearers["owner"], "GET", "/orders//"),
		"input":   twice,
		"scope":   httpEvent(w.bearers["profile"], "GET", "/orders"),
	} {
		decide(t, w.authorizer(t, true), event)
		if counted := w.counts.Take(); !maps.Equal(counted, map[string]int{"BearersRefused " + code: 1}) {
			t.Errorf("%s: counted %v", code, counted)
		}
	}
}

// Breaks if an authorizer can be made that records nothing, or limits nothing,
// because somebody forgot a part.
func TestNoPartMayBeMissing(t *testing.T) {
	w := newWorld(t)
	for i := range reflect.TypeFor[authorizer.Parts]().NumField() {
		parts := w.parts()
		field := reflect.TypeFor[authorizer.Parts]().Field(i)
		reflect.ValueOf(&parts).Elem().Field(i).SetZero()
		_, err := authorizer.New(parts)
		if _, optional := field.Tag.Lookup("optional"); (err == nil) != optional {
			t.Errorf("without %s: %v", field.Name, err)
		}
	}
}
