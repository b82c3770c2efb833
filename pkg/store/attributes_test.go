package store_test

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

// damages are all that can happen to an attribute, by name. nil removes it.
var damages = map[string]types.AttributeValue{
	"removed":         nil,
	"text":            storetest.S("nonsense"),
	"no text":         storetest.S(""),
	"digits as text":  storetest.S("1"),
	"past day":        storetest.S("0000-00-00"),
	"almost a day":    storetest.S("2031-5-13"),
	"zero":            storetest.N("0"),
	"negative":        storetest.N("-1"),
	"zero time":       storetest.N("-62135596800"), // time.Time{} in epoch seconds
	"fraction":        storetest.N("1.5"),
	"2^53":            storetest.N("9007199254740992"),
	"beyond 64 bits":  storetest.N("99999999999999999999"),
	"with exponent":   storetest.N("1E+30"),
	"true":            &types.AttributeValueMemberBOOL{Value: true},
	"false":           &types.AttributeValueMemberBOOL{Value: false},
	"null":            &types.AttributeValueMemberNULL{Value: true},
	"bytes":           &types.AttributeValueMemberB{Value: []byte("personal")},
	"map":             &types.AttributeValueMemberM{Value: map[string]types.AttributeValue{"S": storetest.S("api")}},
	"set of texts":    &types.AttributeValueMemberSS{Value: []string{"api"}},
	"set of numbers":  &types.AttributeValueMemberNS{Value: []string{"1"}},
	"no list":         &types.AttributeValueMemberL{},
	"list of numbers": &types.AttributeValueMemberL{Value: []types.AttributeValue{storetest.N("1")}},
	"mixed list":      &types.AttributeValueMemberL{Value: []types.AttributeValue{storetest.S("api"), storetest.N("1")}},
	"list of texts":   &types.AttributeValueMemberL{Value: []types.AttributeValue{storetest.S("nonsense")}},
}

var (
	anyText  = []string{"text", "no text", "digits as text", "past day", "almost a day"}
	someText = []string{"text", "digits as text", "past day", "almost a day"}
	anything = slices.Collect(maps.Keys(damages))
)

// tolerated are the damages that a record survives because they cannot make
// it more than it is. Everything else has to be refused.
var toleratedInRecord = map[string][]string{
	"name":           anyText,
	"description":    append([]string{"removed"}, anyText...),
	"scopes":         {"no list", "list of texts"}, // scopes that permit nothing
	"created_by":     {"zero"},                     // the console
	"last_used_at":   {"removed"},
	"last_used_ips":  {"removed", "no list"},
	"superseded_at":  {"removed"},                             // then there is no rotation window
	"revoked_reason": someText,                                // revoked for whatever reason
	"delete_after":   anything,                                // never decides
	"made":           {"removed", "true", "false"},            // the fence of creations, not of checks
	"pepper":         append([]string{"removed"}, anyText...), // an operator's count needs it
	"ends_on_use":    append([]string{"removed"}, anyText...), // the predecessor then ends after a day
	"until_used":     {"removed", "true"},                     // an overlap all the same
	// The index' attributes decide about mails. The engine keeps their type.
	"expiry_bucket": append([]string{"removed"}, anyText...),
	"expiry_order":  append([]string{"removed"}, anyText...),
}

var toleratedInProfile = map[string][]string{
	"name":     anyText,
	"username": someText,
	"email":    append([]string{"removed"}, anyText...),
	"state":    anyText, // no state but one is usable; see below
	// Rights that go are refused later.
	"admin":             {"removed", "true", "false"},
	"external":          {"removed", "true", "false"},
	"noted":             {"removed", "true", "false"}, // the note is of no consequence
	"bot":               {"removed", "true", "false"},
	"created_by":        {"zero"},
	"tokens_valid_from": {"zero"}, // what it is before the first bulk revocation
}

// A record that makes no sense must refuse, never allow. Removing one attribute
// must not make a token endless, unrevoked or somebody else's.
func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)
	whole := map[string]token.Token{
		"fresh": f.AddToken(t, owner), "endless": f.AddToken(t, owner, withoutExpiry), "impersonation": f.AddToken(t, owner, impersonation),
	}
	old := f.AddToken(t, owner)
	next, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), old, f.Successor(t, owner, old), nil, storetest.Event)
	wantErr(t, f, err, nil)
	from := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
	wantErr(t, f, f.Store.MarkUsed(t.Context(), next.Digest, storetest.Now, storetest.Now, from), nil)
	next.LastUsedAt, next.LastUsedIPs = storetest.Now, from
	whole["rotated and used"] = next
	whole["restricted"] = f.AddToken(t, owner, restricted(t, "10.0.0.0/8", "192.0.2.7"))
	overlapping := storetest.Overlapping(f.AddToken(t, owner, withoutExpiry), time.Hour)
	_, err = f.Store.RotateToken(t.Context(), f.Fresh(t, owner), overlapping, f.Successor(t, owner, overlapping), nil, storetest.Event)
	wantErr(t, f, err, nil)
	whole["in its overlap"] = overlapping
	whole["revoked"] = storetest.Revoked(f.AddToken(t, owner))
	wantErr(t, f, f.Store.RevokeToken(t.Context(), whole["revoked"], storetest.Event), nil)

	whole["with a short life"] = f.AddToken(t, owner, func(tok *token.Token) {
		tok.Life, tok.Generation = time.Hour, "a1b2c3"
		tok.ExpiresOn = token.FirstDayFrom(tok.ExpiresAt())
	})
	maker := f.AddToken(t, owner)
	whole["made by another"] = f.AddToken(t, owner, func(tok *token.Token) {
		tok.Parent, tok.ParentKind, tok.Depth = maker.ID, maker.Kind, 1
		tok.Maker = token.Maker{ID: maker.ID, Family: maker.Family, Digest: maker.Digest, Own: true}
	})
	maker.Made = true
	whole["has made another"] = maker
	untilUsed := func() (old, next token.Token) {
		old = storetest.Overlapping(f.AddToken(t, owner, withoutExpiry), token.MaxOverlap)
		old.UntilUsed = true
		next = f.Successor(t, owner, old)
		next.EndsOnUse = old.Digest
		next, err := f.Store.RotateToken(t.Context(), f.Fresh(t, owner), old, next, nil, storetest.Event)
		wantErr(t, f, err, nil)
		return old, next
	}
	whole["until its successor is used"], whole["to be used"] = untilUsed()
	taken, taker := untilUsed()
	taken.TakenOverAt = taken.SupersededAt.Add(time.Minute)
	taken.WorksUntil, taken.UntilUsed = taken.TakenOverAt, false
	wantErr(t, f, f.Store.EndOverlap(t.Context(), taker, taken.TakenOverAt, storetest.Event), nil)
	whole["taken over"] = taken

	for name, tok := range whole {
		pk, sk := recordKey(tok.Digest)
		damage(t, f, name, pk, sk, toleratedInRecord, func(t *testing.T, tolerated bool) {
			for _, hint := range []account.ID{0, owner.ID} {
				got, acct, err := f.Store.Check(t.Context(), []secret.Digest{tok.Digest}, hint, nil)
				wantRefused(t, f, err, got, tok, tolerated)
				if !tolerated {
					wantEqual(t, "owner", acct, account.Account{})
				}
			}
			got, err := f.Store.Token(t.Context(), tok.ID)
			wantRefused(t, f, err, got, tok, tolerated)
			got, err = f.Store.TokenByDigest(t.Context(), tok.Digest)
			wantRefused(t, f, err, got, tok, tolerated)
		})
	}
}

func wantRefused(t *testing.T, f *storetest.Fixture, err error, got, whole token.Token, tolerated bool) {
	t.Helper()
	if !tolerated {
		wantErr(t, f, err, fault.ErrCorrupt)
		wantEqual(t, "token", got, token.Token{})
		return
	}
	wantErr(t, f, err, nil)
	for _, s := range got.Scopes {
		if !whole.Scopes.Has(s) && s != "nonsense" {
			t.Errorf("scope %s was gained", s)
		}
	}
	// What may differ is what was damaged; the rest decides.
	got.Name, got.Description, got.Scopes, got.CreatedBy = whole.Name, whole.Description, whole.Scopes, whole.CreatedBy
	got.LastUsedAt, got.LastUsedIPs, got.RevokedReason = whole.LastUsedAt, whole.LastUsedIPs, whole.RevokedReason
	got.SupersededAt, got.Made, got.Generation = whole.SupersededAt, whole.Made, whole.Generation
	got.EndsOnUse, got.UntilUsed = whole.EndsOnUse, whole.UntilUsed
	wantEqual(t, "token", got, whole)
}

func TestDamagedProfiles(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.Account("damaged")
	owner.Admin, owner.Bot, owner.External, owner.Note = true, true, true, "a note"
	owner, err := f.Store.CreateAccount(t.Context(), owner, storetest.Event)
	wantErr(t, f, err, nil)
	tok := f.AddToken(t, owner)
	damage(t, f, "profile", "USER#1", "PROFILE", toleratedInProfile, func(t *testing.T, tolerated bool) {
		for _, hint := range []account.ID{0, owner.ID} {
			got, acct, err := f.Store.Check(t.Context(), []secret.Digest{tok.Digest}, hint, nil)
			if tolerated {
				wantErr(t, f, err, nil)
				if acct.ID != owner.ID || acct.Usable() == nil && acct.State != account.Active {
					t.Errorf("owner %d in state %q", acct.ID, acct.State)
				}
				continue
			}
			wantErr(t, f, err, fault.ErrCorrupt)
			wantEqual(t, "token", got, token.Token{})
			wantEqual(t, "owner", acct, account.Account{})
		}
		if !tolerated {
			_, err := f.Store.Account(t.Context(), owner.ID)
			wantErr(t, f, err, fault.ErrCorrupt)
		}
	})
}

func TestDamagedPointers(t *testing.T) {
	t.Parallel()
	f := open(t)
	owner := f.AddAccount(t)
	tok := f.AddToken(t, owner, impersonation)
	pk, sk := pointerKey(tok.ID)
	// A digest of nonsense names no record. The engine cannot look an empty one up.
	tolerated := map[string][]string{"digest": anyText, "kind": append([]string{"removed"}, anyText...), "created_at": anything, "ends_at": anything}
	damage(t, f, "pointer", pk, sk, tolerated, func(t *testing.T, tolerated bool) {
		got, err := f.Store.Token(t.Context(), tok.ID)
		if !tolerated {
			wantErr(t, f, err, fault.ErrCorrupt)
		}
		f.CheckError(t, err)
		if err == nil && got.Digest != tok.Digest {
			t.Error("another token was found")
		}
	})
}

// damage does every damage to every attribute of an item but its key, one at a
// time, and puts the item right again after each.
func damage(t *testing.T, f *storetest.Fixture, name, pk, sk string, tolerated map[string][]string, check func(t *testing.T, tolerated bool)) {
	t.Helper()
	key := map[string]types.AttributeValue{"pk": storetest.S(pk), "sk": storetest.S(sk)}
	out, err := f.Client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: &f.Name, Key: key})
	if err != nil || len(out.Item) == 0 {
		t.Fatalf("no item to damage: %v", err)
	}
	for attribute := range out.Item {
		if attribute == "pk" || attribute == "sk" {
			continue
		}
		t.Run(name+" "+attribute, func(t *testing.T) {
			for kind, replacement := range damages {
				damaged := maps.Clone(out.Item)
				if damaged[attribute] = replacement; replacement == nil {
					delete(damaged, attribute)
				}
				if reflect.DeepEqual(damaged, out.Item) {
					continue
				}
				_, err := f.Client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &f.Name, Item: damaged})
				if err != nil {
					if attribute == "expiry_bucket" || attribute == "expiry_order" {
						continue // the engine does not take it
					}
					t.Fatal(err)
				}
				if !t.Run(kind, func(t *testing.T) { check(t, slices.Contains(tolerated[attribute], kind)) }) {
					t.Logf("the item was %v", storetest.Plain(damaged))
				}
			}
			_, err := f.Client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &f.Name, Item: out.Item})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestDigestsOfNonsense(t *testing.T) {
	t.Parallel()
	f := open(t)
	for _, nonsense := range []string{"", "TOKEN#", "PROFILE", "\x00"} {
		got, err := f.Store.TokenByDigest(t.Context(), secret.DigestFromKey(nonsense))
		wantErr(t, f, err, fault.ErrNotFound)
		wantEqual(t, "token", got, token.Token{})
	}
}
