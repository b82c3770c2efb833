package storetest

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"maps"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"

	"latchkey/infra/cloud/engine"
	"latchkey/infra/cloud/tabledef"
	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/store"
	"latchkey/pkg/token"
)

// A Loader fills a table with thousands of records, profiles and projects, in batches. It copies items that
// the store wrote and replaces what differs. It writes no pointers, usernames, paths or counters, because
// daily scans read none; see Walkable and Counted.
type Loader struct {
	client *dynamodb.Client
	table  string
	shards int
	// Written by the store.
	record, profile, project map[string]types.AttributeValue
}

const (
	loadBatch   = 25 // BatchWriteItem: 25 items
	loadWorkers = 8
)

// NewLoader returns a loader for a table whose index has this many shards.
func NewLoader(ctx context.Context, client *dynamodb.Client, table string, shards int) (*Loader, error) {
	l := &Loader{client: client, table: table, shards: shards}
	path, err := tabledef.Path()
	if err != nil {
		return nil, err
	}
	const name = "example"
	example := engine.New().Client()
	if err := tabledef.Create(ctx, example, path, name); err != nil {
		return nil, err
	}
	s := store.Open(example, name, store.Options{Shards: shards, Retention: Retention})
	acct, err := s.CreateAccount(ctx, account.Account{
		Username: name, Name: name, Email: name + "@example.com", State: account.Active, CreatedAt: Now, NextNumber: 1,
	}, Event)
	if err != nil {
		return nil, err
	}
	tok, err := s.CreateToken(ctx, acct, token.Token{
		Kind: token.Personal, Owner: acct.ID, Name: name, Scopes: scope.Set{scope.API}, CreatedAt: Now,
		ExpiresOn: clock.DayOf(Now).AddDays(1), Digest: secret.DigestFromKey(name),
	}, nil, Event)
	if err != nil {
		return nil, err
	}
	proj, err := s.CreateProject(ctx, project.Project{
		Kind: project.KindGroup, Name: "group", Path: "group", FullPath: "group", Visibility: "private", CreatedAt: Now,
	}, 0, Event)
	if err != nil {
		return nil, err
	}
	get := func(pk, sk string) map[string]types.AttributeValue {
		out, getErr := example.GetItem(ctx, &dynamodb.GetItemInput{TableName: aws.String(name), Key: keyOf(pk, sk)})
		if getErr != nil {
			err = errors.Join(err, getErr)
			return nil
		}
		return out.Item
	}
	l.record = get("TOKEN#"+tok.Digest.Key(), "TOKEN")
	l.project = get("PROJECT#"+proj.ID.String(), "PROFILE")
	l.profile = get("USER#"+acct.ID.String(), "PROFILE")
	return l, err
}

// Accounts writes profiles of accounts that differ only in id, name, address, creation and next number.
func (l *Loader) Accounts(ctx context.Context, accts iter.Seq[account.Account]) error {
	return l.load(ctx, func(yield func(map[string]types.AttributeValue) bool) {
		for u := range accts {
			it := maps.Clone(l.profile)
			it["pk"] = S("USER#" + u.ID.String())
			it["username"], it["name"], it["email"] = S(u.Username), S(u.Name), S(u.Email)
			it["next_number"], it["created_at"] = N(fmt.Sprint(u.NextNumber)), N(fmt.Sprint(u.CreatedAt.Unix()))
			if !yield(it) {
				return
			}
		}
	})
}

// Projects writes projects and groups that differ only in id, kind, name and owner. A project needs an owner, and a
// group has none.
func (l *Loader) Projects(ctx context.Context, projects iter.Seq[project.Project]) error {
	return l.load(ctx, func(yield func(map[string]types.AttributeValue) bool) {
		for proj := range projects {
			it := maps.Clone(l.project)
			it["pk"], it["kind"] = S("PROJECT#"+proj.ID.String()), S(string(proj.Kind))
			it["name"], it["path"], it["full_path"] = S(proj.Name), S(proj.Name), S(proj.Name)
			if proj.Owner != 0 {
				it["owner"] = N(proj.Owner.String())
				delete(it, "full_path")
			}
			if !yield(it) {
				return
			}
		}
	})
}

// Counted sets the highest ids of accounts and projects, so that lists find everything up to them.
func (l *Loader) Counted(ctx context.Context, lastAccount account.ID, lastProject project.ID) error {
	return l.load(ctx, func(yield func(map[string]types.AttributeValue) bool) {
		for kind, last := range map[string]int64{"USER": int64(lastAccount), "PROJECT": int64(lastProject)} {
			it := keyOf("SEQUENCE", kind)
			it["last"] = N(fmt.Sprint(last))
			if !yield(it) {
				return
			}
		}
	})
}

// Tokens writes records of personal tokens that differ only in id, name, last day and digest. All
// expire.
func (l *Loader) Tokens(ctx context.Context, tokens iter.Seq[token.Token]) error {
	return l.load(ctx, func(yield func(map[string]types.AttributeValue) bool) {
		for tok := range tokens {
			owner := tok.ID.Owner()
			hash := fnv.New32a()
			_, _ = hash.Write([]byte(owner.String()))
			it := maps.Clone(l.record)
			it["pk"] = S("TOKEN#" + tok.Digest.Key())
			it["id"], it["family"] = N(tok.ID.String()), N(tok.ID.String())
			it["name"], it["expires_on"] = S(tok.Name), S(tok.ExpiresOn.String())
			it["expiry_bucket"] = S(fmt.Sprintf("%s#%02d", tok.ExpiresOn, hash.Sum32()%uint32(l.shards)))
			it["expiry_order"] = S(fmt.Sprintf("%010d#%016d", int64(owner), int64(tok.ID)))
			if !yield(it) {
				return
			}
		}
	})
}

// Listed adds the entries of a crowd's tokens in the lists of all tokens.
func (l *Loader) Listed(ctx context.Context, c Crowd) error {
	const shards = 8 // store.directoryShards
	return l.load(ctx, func(yield func(map[string]types.AttributeValue) bool) {
		for tok := range c.Tokens() {
			id, shard := fmt.Sprintf("%016d", int64(tok.ID)), (int64(tok.Owner)+tok.ID.Number())%shards
			for order, place := range map[string]string{
				"ID":      id,
				"CREATED": fmt.Sprintf("%012d#%s", tok.CreatedAt.Unix(), id),
				"EXPIRES": fmt.Sprintf("%012d#%s", tok.ExpiresAt().Unix(), id),
			} {
				it := keyOf(fmt.Sprintf("DIRECTORY#%s#%02d", order, shard), place)
				it["digest"] = S(tok.Digest.Key())
				if !yield(it) {
					return
				}
			}
		}
	})
}

// Walkable adds the items to find a crowd's tokens by owner. The crowd must have the highest ids in
// its table.
func (l *Loader) Walkable(ctx context.Context, c Crowd) error {
	return l.load(ctx, func(yield func(map[string]types.AttributeValue) bool) {
		last := keyOf("SEQUENCE", "USER")
		last["last"] = N(fmt.Sprint(int(c.First) + c.Owners - 1))
		if !yield(last) {
			return
		}
		for tok := range c.Tokens() {
			it := keyOf("USER#"+tok.Owner.String(), fmt.Sprintf("TOKEN#%016d", int64(tok.ID)))
			it["digest"] = S(tok.Digest.Key())
			if !yield(it) {
				return
			}
		}
	})
}

func (l *Loader) load(ctx context.Context, items iter.Seq[map[string]types.AttributeValue]) error {
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(loadWorkers)
	var batch []types.WriteRequest
	flush := func() {
		requests := batch
		batch = nil
		if len(requests) > 0 {
			workers.Go(func() error { return l.write(ctx, requests) })
		}
	}
	for it := range items {
		if batch = append(batch, types.WriteRequest{PutRequest: &types.PutRequest{Item: it}}); len(batch) == loadBatch {
			flush()
		}
		if ctx.Err() != nil {
			break
		}
	}
	flush()
	return workers.Wait()
}

func (l *Loader) write(ctx context.Context, requests []types.WriteRequest) error {
	for len(requests) > 0 {
		out, err := l.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{
			RequestItems: map[string][]types.WriteRequest{l.table: requests},
		})
		if err != nil {
			return err
		}
		requests = out.UnprocessedItems[l.table]
	}
	return nil
}

// A Crowd is a number of owners with equally many tokens.
type Crowd struct {
	Owners, TokensEach int
	// First is the id of the first owner.
	First account.ID
	// On returns the day on which an owner's n-th token, from 0, expires.
	On func(owner account.ID, n int) clock.Day
}

// Accounts returns the crowd's accounts.
func (c Crowd) Accounts() iter.Seq[account.Account] {
	return func(yield func(account.Account) bool) {
		for i := range c.Owners {
			id := c.First + account.ID(i)
			name := "user-" + id.String()
			if !yield(account.Account{
				ID: id, Username: name, Name: name, Email: name + "@example.com", State: account.Active,
				CreatedAt: Now, NextNumber: int64(c.TokensEach) + 1,
			}) {
				return
			}
		}
	}
}

// Tokens returns the crowd's tokens.
func (c Crowd) Tokens() iter.Seq[token.Token] {
	return func(yield func(token.Token) bool) {
		for i := range c.Owners {
			owner := c.First + account.ID(i)
			for n := range c.TokensEach {
				id, err := token.NewID(owner, int64(n)+1)
				if err != nil {
					panic(err)
				}
				if !yield(token.Token{
					ID: id, Kind: token.Personal, Owner: owner, Name: "token-" + id.String(), Scopes: scope.Set{scope.API},
					CreatedAt: Now, ExpiresOn: c.On(owner, n), Family: id, Digest: secret.DigestFromKey("loaded-digest-of-token-" + id.String()),
				}) {
					return
				}
			}
		}
	}
}

// Crowd loads a crowd.
func (l *Loader) Crowd(ctx context.Context, c Crowd) error {
	if err := l.Accounts(ctx, c.Accounts()); err != nil {
		return err
	}
	return l.Tokens(ctx, c.Tokens())
}
