package store_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/secret"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

func restricted(t *testing.T, texts ...string) func(*token.Token) {
	t.Helper()
	networks, err := token.ParseNetworks(texts)
	if err != nil {
		t.Fatal(err)
	}
	return func(tok *token.Token) { tok.Networks = networks }
}

func TestNetworksAreStored(t *testing.T) {
	t.Parallel()
	f := open(t)
	many := make([]string, token.MaxNetworks)
	for i := range many {
		many[i] = fmt.Sprintf("2001:db8:%x::/48", i)
	}
	for name, texts := range map[string][]string{"none": nil, "one": {"192.0.2.7"}, "several": {"10.0.0.0/8", "::/0"}, "as many as there may be": many} {
		t.Run(name, func(t *testing.T) {
			owner := f.AddAccount(t)
			tok := f.AddToken(t, owner, restricted(t, texts...))
			got, err := f.Store.TokenByDigest(t.Context(), tok.Digest)
			wantErr(t, f, err, nil)
			wantEqual(t, "stored", got, tok)
			pk, sk := recordKey(tok.Digest)
			if _, there := f.Item(t, pk, sk)["allowed_cidrs"]; there != (len(texts) > 0) {
				t.Errorf("record %v", f.Item(t, pk, sk))
			}
			next := f.Successor(t, owner, tok)
			next.Networks = tok.Networks
			next, err = f.Store.RotateToken(t.Context(), f.Fresh(t, owner), tok, next, nil, storetest.Event)
			wantErr(t, f, err, nil)
			got, _, err = f.Store.Check(t.Context(), []secret.Digest{next.Digest}, owner.ID, nil)
			wantErr(t, f, err, nil)
			wantEqual(t, "successor", got, next)
		})
	}
	t.Run("one of several that is lost", func(t *testing.T) {
		tok := f.AddToken(t, f.AddAccount(t), restricted(t, "10.0.0.0/8", "192.0.2.7"))
		pk, sk := recordKey(tok.Digest)
		f.Set(t, pk, sk, "allowed_cidrs", &types.AttributeValueMemberL{Value: []types.AttributeValue{storetest.S("10.0.0.0/8")}})
		_, err := f.Store.TokenByDigest(t.Context(), tok.Digest)
		wantErr(t, f, err, fault.ErrCorrupt)
	})
	t.Run("a bot's", func(t *testing.T) {
		proj := f.AddProject(t, project.KindProject)
		bot, tok := f.Bot(proj)
		restricted(t, "192.0.2.0/24")(&tok)
		tok, err := f.Store.CreateProjectToken(t.Context(), proj, bot, tok, f.Mint(t, nil), storetest.Event)
		wantErr(t, f, err, nil)
		got, err := f.Store.TokenByDigest(t.Context(), tok.Digest)
		wantErr(t, f, err, nil)
		wantEqual(t, "stored", got, tok)
	})

	// Promise 2: what has lost its networks must not be good anywhere.
	list := func(values ...types.AttributeValue) types.AttributeValue {
		return &types.AttributeValueMemberL{Value: values}
	}
	for name, value := range map[string]types.AttributeValue{
		"an empty list":      list(),
		"a text":             storetest.S("10.0.0.0/8"),
		"a list of numbers":  list(storetest.N("10")),
		"no network":         list(storetest.S("10.0.0.0/8"), storetest.S("x")),
		"nothing":            &types.AttributeValueMemberNULL{Value: true},
		"an IPv4 as an IPv6": list(storetest.S("::ffff:10.0.0.0/104")),
	} {
		t.Run("a record with "+name+" is refused", func(t *testing.T) {
			owner := f.AddAccount(t)
			tok := f.AddToken(t, owner, restricted(t, "10.0.0.0/8"))
			pk, sk := recordKey(tok.Digest)
			f.Set(t, pk, sk, "allowed_cidrs", value)
			_, _, err := f.Store.Check(t.Context(), []secret.Digest{tok.Digest}, owner.ID, nil)
			wantErr(t, f, err, fault.ErrCorrupt)
		})
	}

	// A chosen value that somebody else took in the same second must not be
	// taken for one's own.
	t.Run("a token with other networks is another token", func(t *testing.T) {
		owner := f.AddAccount(t)
		tok := f.AddToken(t, owner, restricted(t, "10.0.0.0/8"))
		proxy := storetest.NewProxy(t, storetest.Endpoint(t))
		proxy.Fail(storetest.On("TransactWriteItems", storetest.LoseRequest))
		other := tok
		restricted(t, "10.0.0.0/9")(&other)
		other.ID, other.Family = 0, 0
		_, err := f.Through(proxy.Client()).CreateToken(t.Context(), owner, other, nil, storetest.Event)
		wantErr(t, f, err, fault.ErrUnavailable)
	})
}
