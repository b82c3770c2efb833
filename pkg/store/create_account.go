package store

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/fault"
)

// CreateAccount makes an account. It writes profile, username, address, identity and the next id
// together, so ids have no gaps and a list by id needs no index.
func (t *Table) CreateAccount(ctx context.Context, u account.Account, created audit.Event) (account.Account, error) {
	if err := checkEvents(created); err != nil {
		return account.Account{}, err
	}
	for attempt := 0; ; attempt++ {
		last, err := t.LastAccountID(ctx)
		if err != nil {
			return account.Account{}, err
		}
		if last+1 >= account.GhostID {
			return account.Account{}, fmt.Errorf("%w: all account ids are given out", fault.ErrInput)
		}
		u.ID = last + 1
		created.Entity = audit.AccountEntity(u.ID)
		items := []types.TransactWriteItem{
			t.takeAccountID(u.ID),
			t.put(profileItem(u), absent, nil),
			t.put(owned(usernameKey(u.Username), u.ID), absent, nil),
		}
		if u.Email != "" {
			items = append(items, t.put(owned(emailKey(u.Email), u.ID), absent, nil))
		}
		identityPosition := len(items)
		if u.Identity != (account.Identity{}) {
			items = append(items, t.put(owned(identityKey(u.Identity), u.ID), absent, nil))
		}
		// Usernames and groups at the root share one name space, because both start paths of
		// projects.
		lacking := len(items)
		items = append(items, t.lacks(pathKey(u.Username)))
		if u.Note != "" {
			items = append(items, t.put(noteItem(u.ID, u.Note), absent, nil))
		}
		if u.ID == 1 { // no token can be older than the first account
			items = append(items, t.put(directoryCompleteItem(u.CreatedAt), "", nil))
		}
		reasons, err := t.transact(ctx, items, []audit.Event{created}, func(ctx context.Context) (bool, error) {
			stored, err := t.Account(ctx, u.ID)
			return sameAccount(stored, u) && stored.Identity == u.Identity, err
		})
		switch {
		case err != nil:
			return account.Account{}, err
		case reasons == nil:
			u.Noted = u.Note != ""
			return u, nil
		case u.Identity != (account.Identity{}) && failed(reasons, identityPosition):
			return account.Account{}, account.ErrIdentityTaken
		case u.Email != "" && failed(reasons, emailPosition):
			return account.Account{}, account.ErrEmailTaken
		case failed(reasons, usernamePosition), failed(reasons, lacking):
			return account.Account{}, account.ErrUsernameTaken
		}
		if err := pause(ctx, attempt); err != nil {
			return account.Account{}, err
		}
	}
}

// The positions of items in the transaction.
const (
	usernamePosition = 2
	emailPosition    = 3
)

// sameAccount reports whether the request that makes u made stored. Notes do not count.
func sameAccount(stored, u account.Account) bool {
	return stored.ID == u.ID && stored.Username == u.Username && stored.Email == u.Email && stored.Unreachable == u.Unreachable && stored.Name == u.Name &&
		stored.Admin == u.Admin && stored.External == u.External && stored.NoGroups == u.NoGroups && stored.Bot == u.Bot &&
		stored.CreatedAt.Equal(u.CreatedAt) && stored.CreatedBy == u.CreatedBy
}

// takeAccountID moves the counter from the previous id to id.
func (t *Table) takeAccountID(id account.ID) types.TransactWriteItem {
	take := t.update(accountSequenceKey(), "SET #last = :id", "attribute_not_exists(pk) OR #last = :before",
		item{":id": number(int64(id)), ":before": number(int64(id) - 1)})
	take.Update.ExpressionAttributeNames = map[string]string{"#last": "last"}
	return take
}

func owned(k key, id account.ID) item {
	k["uid"] = number(int64(id))
	return k
}
