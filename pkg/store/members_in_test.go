package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"latchkey/pkg/principal"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
	"latchkey/pkg/token"
)

// membersIn returns the users of members, and how many could not be read.
func membersIn(ctx context.Context, s *store.Table, resources ...token.ResourceID) (members []principal.Member, malformed int, err error) {
	err = s.MembersIn(ctx, resources, func(m principal.Member, err error) {
		if err != nil {
			malformed++
			return
		}
		members = append(members, m)
	})
	return members, malformed, err
}

func TestMembersIn(t *testing.T) {
	t.Parallel()
	f := open(t)
	proxy := storetest.NewProxy(t, storetest.Endpoint(t))
	member := func(res token.ResourceID, user token.OwnerID, level token.Level, on token.Day) principal.Member {
		m := principal.Member{Resource: res, User: user, Level: level, ExpiresOn: on, CreatedAt: storetest.Now, CreatedBy: 1}
		f.PutMember(t, m)
		return m
	}
	// Resources 3 and 30, whose keys have a part in common, and 4.
	all := []principal.Member{
		member(3, 7, token.Guest, token.Day{}), member(3, 12, token.Owner, dueDay), member(4, 7, token.Maintainer, token.Day{}),
	}
	other := member(30, 9, token.Owner, token.Day{})
	f.PutResource(t, principal.Resource{ID: 3, Kind: principal.Group, Path: "a", FullPath: "a"}) // no member

	t.Run("everybody in each of the resources, and nobody else", func(t *testing.T) {
		for _, c := range []struct {
			resources []token.ResourceID
			want      []principal.Member
		}{
			{[]token.ResourceID{3, 4}, all}, {[]token.ResourceID{4, 3}, []principal.Member{all[2], all[0], all[1]}},
			{[]token.ResourceID{30}, []principal.Member{other}}, {[]token.ResourceID{5}, nil}, {nil, nil},
		} {
			got, malformed, err := membersIn(t.Context(), f.Store, c.resources...)
			wantErr(t, f, err, nil)
			wantEqual(t, "members", got, c.want)
			wantEqual(t, "malformed", malformed, 0)
		}
	})

	t.Run("pages join to the whole", func(t *testing.T) {
		proxy.Fail(storetest.On("Query", storetest.PageBy(1)))
		got, _, err := membersIn(t.Context(), f.Through(proxy.Client()), 3, 4)
		proxy.Fail(nil)
		wantErr(t, f, err, nil)
		wantEqual(t, "members", got, all)
	})

	t.Run("one that cannot be read keeps no other back", func(t *testing.T) {
		f.Set(t, "PROJECT#3", "MEMBER#0000000007", "level", storetest.N("41"))
		defer f.Set(t, "PROJECT#3", "MEMBER#0000000007", "level", storetest.N("10"))
		got, malformed, err := membersIn(t.Context(), f.Store, 3, 4)
		wantErr(t, f, err, nil)
		wantEqual(t, "members", got, all[1:])
		wantEqual(t, "malformed", malformed, 1)
	})

	t.Run("what cannot be asked for is unavailable", func(t *testing.T) {
		for _, action := range []storetest.Action{storetest.LoseRequest, storetest.LoseReply, storetest.CutReply, busy("Query")} {
			proxy.Fail(storetest.On("Query", action))
			_, _, err := membersIn(t.Context(), f.Through(proxy.Client()), 3)
			wantErr(t, f, err, token.ErrUnavailable)
		}
		// The second resource, too.
		second := 0
		proxy.Fail(func(op string, _ int) storetest.Action {
			if second++; op == "Query" && second > 1 {
				return storetest.LoseRequest
			}
			return nil
		})
		_, _, err := membersIn(t.Context(), f.Through(proxy.Client()), 3, 4)
		wantErr(t, f, err, token.ErrUnavailable)
		proxy.Fail(nil)
	})
}

// A member whose token is used up is a member all the same, until somebody ends it: who may be told
// is not for the store to say.
func TestMembersInOfABot(t *testing.T) {
	t.Parallel()
	f := open(t)
	res := principal.Resource{ID: 3, Kind: principal.Project, Path: "web", FullPath: "acme/web", Ancestors: []token.ResourceID{2}}
	f.PutResource(t, res)
	tok := f.PutBot(t, res, token.DayOf(storetest.Now).AddDays(-1))
	got, _, err := membersIn(t.Context(), f.Store, res.ID)
	wantErr(t, f, err, nil)
	wantEqual(t, "user", slices.ContainsFunc(got, func(m principal.Member) bool { return m.User == tok.Owner }), true)
	stored, err := f.Store.Resource(t.Context(), tok.Resource)
	wantErr(t, f, err, nil)
	wantEqual(t, "full path", stored.FullPath, "acme/web")
	_, err = f.Store.Resource(t.Context(), 99)
	wantEqual(t, "absent", errors.Is(err, token.ErrNotFound), true)
}
