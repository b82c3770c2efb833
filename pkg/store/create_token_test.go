package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func TestCreateToken(t *testing.T) {
	t.Parallel()
	f := open(t)

	t.Run("a token is counted under its owner", func(t *testing.T) {
		owner, other := f.AddAccount(t), f.AddAccount(t)
		for n := int64(1); n <= 3; n++ {
			tok := f.AddToken(t, owner)
			if tok.ID.Owner() != owner.ID || tok.ID.Number() != n || tok.Family != tok.ID {
				t.Errorf("id %d of owner %d, family %d; want number %d of %d, its own family", tok.ID, tok.ID.Owner(), tok.Family, n, owner.ID)
			}
		}
		if first := f.AddToken(t, other); first.ID.Number() != 1 {
			t.Errorf("another owner's first token has number %d", first.ID.Number())
		}
		if next := f.Fresh(t, owner).NextNumber; next != 4 {
			t.Errorf("the next number is %d, want 4", next)
		}
	})

	t.Run("record and pointer have the documented keys and attributes", func(t *testing.T) {
		owner := f.AddAccount(t)
		tok := f.AddToken(t, owner)
		pk, sk := recordKey(tok.Digest)
		wantEqual(t, "record", f.Item(t, pk, sk), map[string]any{
			"pk": "TOKEN#" + tok.Digest.Key(), "sk": "TOKEN",
			"id": int(tok.ID), "kind": "personal", "name": "deploy", "description": "for the pipeline",
			"scopes": []any{"api", "read_user"}, "created_at": int(storetest.Now.Unix()), "created_by": int(owner.ID),
			"family": int(tok.ID), "expires_on": "2031-05-13",
			"expiry_bucket": bucketOf(owner.ID, "2031-05-13"), "expiry_order": orderOf(tok.ID),
		})
		wantEqual(t, "pointer", f.Item(t, "USER#"+owner.ID.String(), fmt.Sprintf("TOKEN#%016d", tok.ID)), map[string]any{
			"pk": "USER#" + owner.ID.String(), "sk": fmt.Sprintf("TOKEN#%016d", tok.ID), "digest": tok.Digest.Key(),
			"created_at": int(storetest.Now.Unix()), "ends_at": int(tok.ExpiresAt().Unix()),
		})
	})

	for _, c := range []struct {
		name    string
		change  func(*token.Token)
		indexed bool
	}{
		{"a token that ends on a day is in the expiry index", func(*token.Token) {}, true},
		{"a token that never ends is not in the expiry index", withoutExpiry, false},
		{"an impersonation token is not in the expiry index", impersonation, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			owner := f.AddAccount(t)
			tok := f.AddToken(t, owner, c.change)
			entries := f.Indexed(t, bucketOf(owner.ID, "2031-05-13"))
			if got := slices.Contains(entries, orderOf(tok.ID)); got != c.indexed {
				t.Errorf("in the index: %t, want %t", got, c.indexed)
			}
			pk, sk := recordKey(tok.Digest)
			record := f.Item(t, pk, sk)
			_, bucket := record["expiry_bucket"]
			_, order := record["expiry_order"]
			if bucket != c.indexed || order != c.indexed {
				t.Errorf("record %v", record)
			}
			// A record that has lost its day must not look like one without an end.
			wantEqual(t, "expires_on", record["expires_on"], any(tok.ExpiresOn.String()))
			// A date from which clean-up may take a token that works would end it.
			if _, there := record["delete_after"]; there {
				t.Error("clean-up may take a token that works")
			}
		})
	}

	t.Run("one owner's tokens of one day lie side by side in the order of their ids", func(t *testing.T) {
		owner := f.AddAccount(t)
		var want []string
		for range 12 {
			want = append(want, orderOf(f.AddToken(t, owner).ID))
		}
		entries := slices.DeleteFunc(f.Indexed(t, bucketOf(owner.ID, "2031-05-13")), func(order string) bool {
			return order[:10] != fmt.Sprintf("%010d", owner.ID)
		})
		wantEqual(t, "entries", entries, want)
	})

	t.Run("the last number of an owner is given out, and none after it", func(t *testing.T) {
		owner := f.AddAccount(t)
		f.Set(t, "USER#"+owner.ID.String(), "PROFILE", "next_number", storetest.N(fmt.Sprint(token.MaxNumber)))
		if last := f.AddToken(t, owner); last.ID.Number() != token.MaxNumber {
			t.Errorf("number %d", last.ID.Number())
		}
		before := f.Snapshot(t)
		for name, seen := range map[string]account.Account{"seen": f.Fresh(t, owner), "unseen": {ID: owner.ID, NextNumber: token.MaxNumber}} {
			_, err := f.Store.CreateToken(t.Context(), seen, f.Candidate(t, owner), nil, storetest.Event)
			if !errors.Is(err, token.ErrOutOfNumbers) {
				t.Errorf("%s: err = %v", name, err)
			}
		}
		wantUnchanged(t, f, before)
	})
}

// What a refused creation leaves behind is nothing: a record without its owner's
// consent would be a token that nobody lists and nobody ends.
func TestCreateTokenRefusals(t *testing.T) {
	t.Parallel()
	f := open(t)
	var taken token.Token // of somebody

	for _, c := range []struct {
		name string
		// prepare changes the stored owner after it was read.
		prepare func(*testing.T, account.Account)
		change  func(*token.Token)
		want    error
	}{
		{"creating for a blocked owner writes nothing", func(t *testing.T, u account.Account) {
			set(t, f, u.ID, account.Active, account.Blocked)
		}, nil, account.ErrBlocked},
		{"creating for a deactivated owner writes nothing", func(t *testing.T, u account.Account) {
			set(t, f, u.ID, account.Active, account.Deactivated)
		}, nil, account.ErrDeactivated},
		{"creating for an owner in an unknown state writes nothing", func(t *testing.T, u account.Account) {
			set(t, f, u.ID, account.Active, "asleep")
		}, nil, account.ErrInactive},
		{"creating for an owner who is gone writes nothing", func(t *testing.T, u account.Account) {
			f.Drop(t, "USER#"+u.ID.String(), "PROFILE")
		}, nil, fault.ErrNotFound},
		{"a bulk revocation between reading and writing refuses the token", func(t *testing.T, u account.Account) {
			wantErr(t, f, f.Store.RevokeEverything(t.Context(), u.ID, storetest.Event), nil)
		}, nil, fault.ErrMoved},
		{"a bulk revocation and a new token between reading and writing refuse the token", func(t *testing.T, u account.Account) {
			wantErr(t, f, f.Store.RevokeEverything(t.Context(), u.ID, storetest.Event), nil)
			f.AddToken(t, u)
		}, nil, fault.ErrMoved},
		{"a value that is in use is taken", func(*testing.T, account.Account) {}, func(tok *token.Token) {
			tok.Digest = taken.Digest
		}, fault.ErrTaken},
		{"a value that was in use and is revoked is taken", func(t *testing.T, _ account.Account) {
			wantErr(t, f, f.Store.RevokeToken(t.Context(), storetest.Revoked(taken), storetest.Event), nil)
		}, func(tok *token.Token) { tok.Digest = taken.Digest }, fault.ErrTaken},
		{"a malformed owner is corrupt", func(t *testing.T, u account.Account) {
			f.Set(t, "USER#"+u.ID.String(), "PROFILE", "next_number", storetest.S("many"))
		}, nil, fault.ErrCorrupt},
	} {
		t.Run(c.name, func(t *testing.T) {
			taken = f.AddToken(t, f.AddAccount(t))
			owner := f.AddAccount(t)
			f.AddToken(t, owner)
			owner = f.Fresh(t, owner)
			c.prepare(t, owner)
			tok := f.Candidate(t, owner)
			if c.change != nil {
				c.change(&tok)
			}
			use := f.Use(t, "handle of "+c.name, storetest.Now)
			before := f.Snapshot(t)
			got, err := f.Store.CreateToken(t.Context(), owner, tok, &use, storetest.Event)
			wantErr(t, f, err, c.want)
			wantEqual(t, "token", got, token.Token{})
			wantUnchanged(t, f, before)
		})
	}

	// Its pointer is the only way to a token by id.
	t.Run("a pointer that is there already is not overwritten", func(t *testing.T) {
		owner := f.AddAccount(t)
		f.AddToken(t, owner)
		f.Set(t, "USER#"+owner.ID.String(), "PROFILE", "next_number", storetest.N("1"))
		before := f.Snapshot(t)
		_, err := f.Store.CreateToken(t.Context(), f.Fresh(t, owner), f.Candidate(t, owner), nil, storetest.Event)
		wantErr(t, f, err, fault.ErrUnavailable)
		wantUnchanged(t, f, before)
	})

	t.Run("an owner who is out of date only in the number gets the next one", func(t *testing.T) {
		owner := f.AddAccount(t)
		f.AddToken(t, owner)
		f.AddToken(t, owner)
		tok, err := f.Store.CreateToken(t.Context(), owner, f.Candidate(t, owner), nil, storetest.Event)
		wantErr(t, f, err, nil)
		if tok.ID.Number() != 3 {
			t.Errorf("number %d, want 3", tok.ID.Number())
		}
	})

	t.Run("a value somebody else has is taken even with the same name at the same second", func(t *testing.T) {
		theirs := f.AddToken(t, f.AddAccount(t))
		owner := f.AddAccount(t)
		tok := f.Candidate(t, owner)
		tok.Digest = theirs.Digest
		_, err := f.Store.CreateToken(t.Context(), owner, tok, nil, storetest.Event)
		wantErr(t, f, err, fault.ErrTaken)
	})

	t.Run("a value is taken by its digest under another generation", func(t *testing.T) {
		owner := f.AddAccount(t)
		first := f.AddToken(t, owner)
		nobody := f.Candidate(t, owner).Digest
		for _, without := range [][]secret.Digest{{first.Digest}, {nobody, first.Digest}} {
			_, err := f.Store.CreateToken(t.Context(), f.Fresh(t, owner), f.Candidate(t, owner), nil, storetest.Event, without...)
			wantErr(t, f, err, fault.ErrTaken)
		}
		_, err := f.Store.CreateToken(t.Context(), f.Fresh(t, owner), f.Candidate(t, owner), nil, storetest.Event, nobody)
		wantErr(t, f, err, nil)
	})

	t.Run("an owner's own value is taken when the wanted token differs from the stored one", func(t *testing.T) {
		owner := f.AddAccount(t)
		first := f.AddToken(t, owner)
		for name, change := range map[string]func(*token.Token){
			"scopes": func(tok *token.Token) { tok.Scopes = tok.Scopes[:1] },
			"day":    func(tok *token.Token) { tok.ExpiresOn = tok.ExpiresOn.AddDays(1) },
			"name":   func(tok *token.Token) { tok.Name = "another" },
			"second": func(tok *token.Token) { tok.CreatedAt = tok.CreatedAt.Add(1e9) },
			"kind":   impersonation,
		} {
			tok := f.Candidate(t, owner)
			tok.Digest = first.Digest
			change(&tok)
			if _, err := f.Store.CreateToken(t.Context(), f.Fresh(t, owner), tok, nil, storetest.Event); !errors.Is(err, fault.ErrTaken) {
				t.Errorf("another %s: err = %v", name, err)
			}
		}
	})
}

func TestCreateTokenTogether(t *testing.T) {
	t.Parallel()
	f := open(t)

	t.Run("16 creations at once for one owner get the numbers 1 to 16", func(t *testing.T) {
		owner := f.AddAccount(t)
		made := make([]token.Token, 16)
		for _, err := range together(len(made), func(i int) (err error) {
			made[i], err = f.Store.CreateToken(t.Context(), owner, f.Candidate(t, owner), nil, storetest.Event)
			return err
		}) {
			wantErr(t, f, err, nil)
		}
		slices.SortFunc(made, func(a, b token.Token) int { return int(a.ID - b.ID) })
		for i, tok := range made {
			if tok.ID.Number() != int64(i+1) {
				t.Errorf("number %d at position %d", tok.ID.Number(), i)
			}
		}
		stored, err := f.Store.TokensOfOwner(t.Context(), owner.ID)
		wantErr(t, f, err, nil)
		wantEqual(t, "stored tokens", stored, made)
	})

	t.Run("of 8 creations at once with one chosen value one wins", func(t *testing.T) {
		value := f.Candidate(t, account.Account{ID: 1}).Digest
		var owners []account.Account
		for range 8 {
			owners = append(owners, f.AddAccount(t))
		}
		winners := 0
		for _, err := range together(len(owners), func(i int) error {
			tok := f.Candidate(t, owners[i])
			tok.Digest = value
			_, err := f.Store.CreateToken(t.Context(), owners[i], tok, nil, storetest.Event)
			return err
		}) {
			if err == nil {
				winners++
				continue
			}
			wantErr(t, f, err, fault.ErrTaken)
		}
		if winners != 1 {
			t.Errorf("%d winners", winners)
		}
	})

	// Otherwise a token made during the revocation would stay good.
	t.Run("no creation slips past a bulk revocation that was answered", func(t *testing.T) {
		for range 5 {
			owner := f.AddAccount(t)
			var answered int64
			made := make([]token.Token, 4)
			together(5, func(i int) error {
				if i == 4 {
					err := f.Store.RevokeEverything(t.Context(), owner.ID, storetest.Event)
					answered = f.Fresh(t, owner).TokensValidFrom
					return err
				}
				made[i], _ = f.Store.CreateToken(t.Context(), owner, f.Candidate(t, owner), nil, storetest.Event)
				return nil
			})
			for _, tok := range made {
				if tok.ID != 0 && tok.ID.Number() >= answered {
					t.Errorf("token %d was made under a profile from before the revocation and is good", tok.ID.Number())
				}
			}
		}
	})
}

// bucketOf writes down the shards that these owners were given, independent of
// the code that gives them: FNV-1a of the decimal id, modulo 16.
func bucketOf(owner account.ID, day string) string {
	sum := uint32(2166136261)
	for _, c := range []byte(owner.String()) {
		sum = (sum ^ uint32(c)) * 16777619
	}
	return fmt.Sprintf("%s#%02d", day, sum%16)
}

func orderOf(id token.ID) string { return fmt.Sprintf("%010d#%016d", id.Owner(), id) }
