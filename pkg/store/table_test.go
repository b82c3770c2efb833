package store_test

import (
	"errors"
	"reflect"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/secret"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// open returns a store on a new table of DynamoDB Local.
func open(t *testing.T) *storetest.Fixture {
	t.Helper()
	return storetest.NewFixture(t, storetest.Engine(t))
}

// wantErr fails the test when err is not want (nil for none) or shows what it must not.
func wantErr(t *testing.T, f *storetest.Fixture, err, want error) {
	t.Helper()
	f.CheckError(t, err)
	if !errors.Is(err, want) {
		t.Fatalf("err = %v, want %v", err, want)
	}
}

func wantEqual[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %s", what, cmp.Diff(show(want), show(got)))
	}
}

// show replaces values that do not print themselves by ones that do. Tests that
// fail may show digests.
func show(v any) any {
	switch v := v.(type) {
	case token.Token:
		return map[string]any{
			"id": v.ID, "kind": v.Kind, "owner": v.Owner, "name": v.Name, "description": v.Description,
			"scopes": v.Scopes.String(), "created_at": v.CreatedAt, "created_by": v.CreatedBy, "expires_on": v.ExpiresOn.String(),
			"revoked_at": v.RevokedAt, "reason": v.RevokedReason, "last_used_at": v.LastUsedAt,
			"family": v.Family, "previous": v.Previous, "resource": v.Project, "level": v.Level, "digest": v.Digest.Key(),
		}
	case []token.Token:
		all := make([]any, len(v))
		for i, tok := range v {
			all[i] = show(tok)
		}
		return all
	default:
		return v
	}
}

// wantUnchanged fails the test when anything in the table differs from before.
func wantUnchanged(t *testing.T, f *storetest.Fixture, before map[string]any) {
	t.Helper()
	if diff := cmp.Diff(before, f.Snapshot(t)); diff != "" {
		t.Errorf("the table changed: %s", diff)
	}
}

// together runs n calls at the same time and returns their errors.
func together(n int, call func(i int) error) []error {
	errs := make([]error, n)
	start := make(chan struct{})
	var running sync.WaitGroup
	for i := range n {
		running.Go(func() {
			<-start
			errs[i] = call(i)
		})
	}
	close(start)
	running.Wait()
	return errs
}

// The names of items, written out so that a change of format is seen: data
// that is stored already would be lost by it.
func recordKey(d secret.Digest) (pk, sk string) { return "TOKEN#" + d.Key(), "TOKEN" }
func familyKey(first token.ID) (pk, sk string)  { return "FAMILY#" + first.String(), "CURRENT" }
func useKey(handle string) (pk, sk string)      { return "IDEMPOTENCY#" + handle, "USE" }
func pointerKey(id token.ID) (pk, sk string) {
	return "USER#" + id.Owner().String(), "TOKEN#" + pad16(id)
}
func pad16(id token.ID) string       { return ("0000000000000000" + id.String())[len(id.String()):] }
func withoutExpiry(tok *token.Token) { tok.ExpiresOn = clock.Day{} }
func impersonation(tok *token.Token) { tok.Kind = token.Impersonation }
func set(t *testing.T, f *storetest.Fixture, id account.ID, from, to account.State) {
	t.Helper()
	if err := f.Store.SetAccountState(t.Context(), id, from, to, storetest.Event); err != nil {
		t.Fatal(err)
	}
}
