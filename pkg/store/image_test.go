package store_test

import (
	"errors"
	"strings"
	"testing"

	"latchkey/pkg/fault"
	"latchkey/pkg/store"
)

const imageOfARecord = `{"pk":{"S":"TOKEN#abc"},"sk":{"S":"TOKEN"},"id":{"N":"4194306"},"kind":{"S":"personal"},"name":{"S":"private"},
	"scopes":{"L":[{"S":"api"}]},"created_at":{"N":"1773907200"},"created_by":{"N":"1"},"family":{"N":"4194306"},"expires_on":{"S":"2026-09-01"},
	"made":{"BOOL":true},"notices":{"SS":["expired","expiring-7"]},"foreign":{"M":{"a":{"NULL":true}}}}`

// Breaks if an image that is damaged is taken for a record, or if an error shows what is in it.
func TestImages(t *testing.T) {
	tok, err := store.Images{}.Token([]byte(imageOfARecord))
	if err != nil || tok.ID != 4194306 || tok.Name != "private" || !tok.Made || len(tok.Notices) != 2 || tok.ExpiresOn.String() != "2026-09-01" {
		t.Fatalf("%+v, %v", tok, err)
	}
	for name, change := range map[string][2]string{
		"no JSON":               {`"name"`, `name`},
		"a lost attribute":      {`"scopes"`, `"scope"`},
		"another type":          {`{"S":"private"}`, `{"N":"7"}`},
		"a type of no record":   {`{"S":"private"}`, `{"B":"cHJpdmF0ZQ=="}`},
		"no value":              {`{"S":"private"}`, `{}`},
		"a number as such":      {`{"N":"1773907200"}`, `{"N":1773907200}`},
		"a scope that is none":  {`{"S":"api"}`, `{"N":"1"}`},
		"a mark that is a text": {`{"SS":["expired","expiring-7"]}`, `{"S":"expired"}`},
	} {
		image := strings.Replace(imageOfARecord, change[0], change[1], 1)
		if _, err := (store.Images{}).Token([]byte(image)); !errors.Is(err, fault.ErrCorrupt) || strings.Contains(err.Error(), "private") {
			t.Errorf("%s: %v", name, err)
		}
	}
	const profile = `{"pk":{"S":"USER#7"},"sk":{"S":"PROFILE"},"username":{"S":"private"},"name":{"S":"Private"},"email":{"S":"private@example.test"},"state":{"S":"active"},
		"bot":{"BOOL":true},"created_at":{"N":"1773907200"},"created_by":{"N":"0"},"next_number":{"N":"5"},"tokens_valid_from":{"N":"4"},"session_number":{"N":"2"}}`
	acct, err := store.Images{}.Account([]byte(profile))
	if err != nil || acct.ID != 7 || acct.State != "active" || acct.TokensValidFrom != 4 || !acct.Bot || acct.SessionNumber != 2 {
		t.Fatalf("%+v, %v", acct, err)
	}
	for name, change := range map[string][2]string{
		"a lost attribute": {`"state"`, `"status"`}, "another type": {`{"N":"4"}`, `{"S":"private"}`}, "a number that none can have": {`{"N":"4"}`, `{"N":"6"}`}, "no account": {"USER#7", "USER#private"},
	} {
		image := strings.Replace(profile, change[0], change[1], 1)
		if _, err := (store.Images{}).Account([]byte(image)); !errors.Is(err, fault.ErrCorrupt) || strings.Contains(err.Error(), "private") {
			t.Errorf("an account with %s: %v", name, err)
		}
	}
	from, err := store.Images{}.TokensFrom([]byte(`{"prefix":{"N":"broken"},"tokens_from":{"N":"1773907200"}}`))
	if err != nil || from.Unix() != 1773907200 {
		t.Errorf("tokens from %v, %v", from, err)
	}
	for _, image := range []string{"", "null", "{}", "[]"} {
		if _, err := (store.Images{}).Token([]byte(image)); !errors.Is(err, fault.ErrCorrupt) {
			t.Errorf("%q: %v", image, err)
		}
		if _, err := (store.Images{}).Account([]byte(image)); !errors.Is(err, fault.ErrCorrupt) {
			t.Errorf("%q as an account: %v", image, err)
		}
		if _, err := (store.Images{}).TokensFrom([]byte(image)); !errors.Is(err, fault.ErrCorrupt) {
			t.Errorf("%q as settings: %v", image, err)
		}
	}
}
