package storetest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/store"
	"latchkey/pkg/token"
)

// The settings of a Fixture's table.
const (
	Shards    = 16
	Retention = 90 * 24 * time.Hour
)

// Now is the instant at which a Fixture makes tokens and accounts: the second before midnight.
var Now = time.Date(2031, 5, 6, 23, 59, 59, 0, time.UTC)

// A Fixture is a store on its own table, with the client below it to look at the items. Its methods
// that add something fail the test on an error. It is safe for concurrent use.
type Fixture struct {
	Store  *store.Table
	Client *dynamodb.Client
	Name   string

	pepper secret.Pepper
	mu     sync.Mutex
	made   []string // texts that no error may show

	projects int // number of projects and groups
}

// NewFixture makes a table on the engine behind client.
func NewFixture(tb testing.TB, client *dynamodb.Client) *Fixture {
	tb.Helper()
	pepper, err := secret.NewPepper(strings.Repeat("pepper", 6))
	if err != nil {
		tb.Fatal(err)
	}
	f := &Fixture{Client: client, Name: Table(tb, client, noStream), pepper: pepper}
	f.Store = f.Through(client)
	return f
}

// Through returns a store on the same table that uses another client, such as that of a Proxy.
func (f *Fixture) Through(client *dynamodb.Client) *store.Table {
	return store.Open(client, f.Name, store.Options{Shards: Shards, Retention: Retention})
}

// Account returns an active account with a mail address of its own, without storing it.
func (f *Fixture) Account(username string) account.Account {
	u := account.Account{
		Username: username, Name: "The " + username, Email: username + "." + strings.ToLower(rand.Text()) + "@example.com",
		State: account.Active, CreatedAt: Now, NextNumber: 1,
	}
	f.guard(u.Email)
	return u
}

// AddAccount stores an active account with a username of its own.
func (f *Fixture) AddAccount(tb testing.TB) account.Account {
	tb.Helper()
	u, err := f.Store.CreateAccount(tb.Context(), f.Account("user-"+strings.ToLower(rand.Text())), Event)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

// Bearer returns a new bearer of owner.
func (f *Fixture) Bearer(tb testing.TB, owner account.ID) secret.Bearer {
	tb.Helper()
	bearer, err := secret.New("lkpat_", int64(owner), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	f.guard(bearer.Reveal())
	return bearer
}

// Candidate returns a token of owner, without storing it. It expires a week after Now.
func (f *Fixture) Candidate(tb testing.TB, owner account.Account) token.Token {
	tb.Helper()
	digest := f.pepper.Digest(f.Bearer(tb, owner.ID))
	f.guard(digest.Key())
	return token.Token{
		Kind: token.Personal, Owner: owner.ID, Name: "deploy", Description: "for the pipeline",
		Scopes: scope.Set{scope.API, scope.ReadUser}, CreatedAt: Now, CreatedBy: owner.ID,
		ExpiresOn: clock.DayOf(Now).AddDays(7), Digest: digest,
	}
}

// AddToken stores a token of owner after the changes.
func (f *Fixture) AddToken(tb testing.TB, owner account.Account, change ...func(*token.Token)) token.Token {
	tb.Helper()
	tok := f.Candidate(tb, owner)
	for _, c := range change {
		c(&tok)
	}
	tok, err := f.Store.CreateToken(tb.Context(), f.Fresh(tb, owner), tok, nil, Event)
	if err != nil {
		tb.Fatal(err)
	}
	return tok
}

// Fresh returns owner as stored.
func (f *Fixture) Fresh(tb testing.TB, owner account.Account) account.Account {
	tb.Helper()
	u, err := f.Store.Account(tb.Context(), owner.ID)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

// Successor returns the token that will replace old.
func (f *Fixture) Successor(tb testing.TB, owner account.Account, old token.Token) token.Token {
	tb.Helper()
	next := f.Candidate(tb, owner)
	next.Family, next.Previous, next.Kind = old.Family, old.ID, old.Kind
	next.Project, next.Level = old.Project, old.Level
	next.CreatedAt = old.CreatedAt.Add(time.Hour)
	return next
}

// Overlapping returns old for a rotation with an overlap at the same instant as Successor's.
func Overlapping(old token.Token, overlap time.Duration) token.Token {
	old.SupersededAt = old.CreatedAt.Add(time.Hour)
	old.WorksUntil = old.SupersededAt.Add(overlap)
	return old
}

// Use returns the first use of an idempotency key at an instant.
func (f *Fixture) Use(tb testing.TB, handle string, at time.Time) secret.Use {
	tb.Helper()
	nonce, err := secret.NewNonce(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return secret.Use{Handle: handle, Fingerprint: "fingerprint-" + rand.Text(), Nonce: nonce, Prefix: "lkpat_", Owner: 1, At: at}
}

// Revoked returns tok as revoked on request an hour after it was made.
func Revoked(tok token.Token) token.Token {
	tok.RevokedAt, tok.RevokedReason = tok.CreatedAt.Add(time.Hour), token.ReasonRequest
	return tok
}

// Item returns a stored item in plain values, nil when it is absent.
func (f *Fixture) Item(tb testing.TB, pk, sk string) map[string]any {
	tb.Helper()
	out, err := f.Client.GetItem(tb.Context(), &dynamodb.GetItemInput{
		TableName: &f.Name, Key: keyOf(pk, sk), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		tb.Fatal(err)
	}
	if len(out.Item) == 0 {
		return nil
	}
	return Plain(out.Item)
}

// Set writes an attribute of a stored item without the store; nil removes it.
func (f *Fixture) Set(tb testing.TB, pk, sk, attribute string, value types.AttributeValue) {
	tb.Helper()
	in := &dynamodb.UpdateItemInput{
		TableName: &f.Name, Key: keyOf(pk, sk),
		UpdateExpression:         aws.String("REMOVE #name"),
		ExpressionAttributeNames: map[string]string{"#name": attribute},
	}
	if value != nil {
		in.UpdateExpression = aws.String("SET #name = :value")
		in.ExpressionAttributeValues = map[string]types.AttributeValue{":value": value}
	}
	if _, err := f.Client.UpdateItem(tb.Context(), in); err != nil {
		tb.Fatal(err)
	}
}

// Drop removes an item without the store, as clean-up does.
func (f *Fixture) Drop(tb testing.TB, pk, sk string) {
	tb.Helper()
	_, err := f.Client.DeleteItem(tb.Context(), &dynamodb.DeleteItemInput{TableName: &f.Name, Key: keyOf(pk, sk)})
	if err != nil {
		tb.Fatal(err)
	}
}

// Snapshot returns the whole table in plain values, by "pk / sk", without the items of Event.
func (f *Fixture) Snapshot(tb testing.TB) map[string]any {
	tb.Helper()
	pages := dynamodb.NewScanPaginator(f.Client, &dynamodb.ScanInput{TableName: &f.Name, ConsistentRead: aws.Bool(true)})
	items := map[string]any{}
	for pages.HasMorePages() {
		page, err := pages.NextPage(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
		for _, it := range page.Items {
			p := Plain(it)
			if p["name"] != string(Event.Name) {
				items[fmt.Sprintf("%s / %s", p["pk"], p["sk"])] = p
			}
		}
	}
	return items
}

// Indexed returns the sort keys of one partition of the expiry index, in the index's order.
func (f *Fixture) Indexed(tb testing.TB, bucket string) []string {
	tb.Helper()
	pages := dynamodb.NewQueryPaginator(f.Client, &dynamodb.QueryInput{
		TableName: &f.Name, IndexName: aws.String("expiry-index"),
		KeyConditionExpression:    aws.String("expiry_bucket = :bucket"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":bucket": S(bucket)},
	})
	var orders []string
	for pages.HasMorePages() {
		page, err := pages.NextPage(tb.Context())
		if err != nil {
			tb.Fatal(err)
		}
		for _, it := range page.Items {
			orders = append(orders, Plain(it)["expiry_order"].(string))
		}
	}
	return orders
}

// CheckError fails the test if err, or anything it wraps, shows a bearer, a digest or a mail
// address of this fixture.
func (f *Fixture) CheckError(tb testing.TB, err error) {
	tb.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, text := range texts(err) {
		for _, secret := range f.made {
			if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
				tb.Errorf("an error shows %q", secret)
			}
		}
	}
}

// Secrets returns in one text everything that no error may show.
func (f *Fixture) Secrets() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.made, ", ")
}

// guard adds a value that no error may show.
func (f *Fixture) guard(value string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.made = append(f.made, value)
}

// texts returns all printed forms of err and of everything it wraps.
func texts(err error) []string {
	if err == nil {
		return nil
	}
	all := []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, wrapped := range many.Unwrap() {
			all = append(all, texts(wrapped)...)
		}
	}
	return append(all, texts(errors.Unwrap(err))...)
}

// S makes a string value.
func S(value string) types.AttributeValue { return &types.AttributeValueMemberS{Value: value} }

// N makes a number from its digits.
func N(digits string) types.AttributeValue { return &types.AttributeValueMemberN{Value: digits} }

func keyOf(pk, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": S(pk), "sk": S(sk)}
}

// Plain converts attribute values to Go values that can be compared and printed. Whole numbers are
// int.
func Plain(it map[string]types.AttributeValue) map[string]any {
	out := make(map[string]any, len(it))
	for name, value := range it {
		out[name] = plainValue(value)
	}
	return out
}

func plainValue(value types.AttributeValue) any {
	switch v := value.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		var n int
		if _, err := fmt.Sscan(v.Value, &n); err == nil && fmt.Sprint(n) == v.Value {
			return n
		}
		return "N:" + v.Value
	case *types.AttributeValueMemberBOOL:
		return v.Value
	case *types.AttributeValueMemberL:
		list := make([]any, len(v.Value))
		for i, element := range v.Value {
			list[i] = plainValue(element)
		}
		return list
	case *types.AttributeValueMemberM:
		return Plain(v.Value)
	default:
		return fmt.Sprintf("%T", value)
	}
}

// Event is the event of a change in tests that do not look at it. Events are several of them.
var (
	Event = audit.Event{
		At: Now, Name: "changed_by_test", Entity: audit.Entity{Type: audit.Instance, ID: audit.InstanceID},
		Origin: audit.Origin{Source: audit.Admin},
	}
	Events = []audit.Event{Event}
)
