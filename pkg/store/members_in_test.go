package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/store"
	"latchkey/pkg/store/storetest"
)

// membersIn returns the users of members, and how many could not be read.
func membersIn(ctx context.Context, s *store.Table, projects ...project.ID) (members []project.Member, malformed int, err error) {
	err = s.MembersIn(ctx, projects, func(m project.Member, err error) {
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
	member := func(res project.ID, acct account.ID, level project.Level, on clock.Day) project.Member {
		m := project.Member{Project: res, Account: acct, Level: level, ExpiresOn: on, CreatedAt: storetest.Now, CreatedBy: 1}
		storetest.PutMember(t, f.Client, f.Name, m)
		return m
	}
	// Projects 3 and 30, whose keys have a part in common, and 4.
	all := []project.Member{
		member(3, 7, project.Guest, clock.Day{}), member(3, 12, project.Owner, dueDay), member(4, 7, project.Maintainer, clock.Day{}),
	}
	other := member(30, 9, project.Owner, clock.Day{})
	storetest.PutProject(t, f.Client, f.Name, project.Project{ID: 3, Kind: project.KindGroup, Path: "a", FullPath: "a"}) // no member

	t.Run("everybody in each of the projects, and nobody else", func(t *testing.T) {
		for _, c := range []struct {
			projects []project.ID
			want     []project.Member
		}{
			{[]project.ID{3, 4}, all}, {[]project.ID{4, 3}, []project.Member{all[2], all[0], all[1]}},
			{[]project.ID{30}, []project.Member{other}}, {[]project.ID{5}, nil}, {nil, nil},
		} {
			got, malformed, err := membersIn(t.Context(), f.Store, c.projects...)
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
			wantErr(t, f, err, fault.ErrUnavailable)
		}
		// The second project, too.
		second := 0
		proxy.Fail(func(op string, _ int) storetest.Action {
			if second++; op == "Query" && second > 1 {
				return storetest.LoseRequest
			}
			return nil
		})
		_, _, err := membersIn(t.Context(), f.Through(proxy.Client()), 3, 4)
		wantErr(t, f, err, fault.ErrUnavailable)
		proxy.Fail(nil)
	})
}

// A member whose token is used up is a member all the same, until somebody ends it: who may be told
// is not for the store to say.
func TestMembersInOfABot(t *testing.T) {
	t.Parallel()
	f := open(t)
	proj := project.Project{ID: 3, Kind: project.KindProject, Path: "web", FullPath: "acme/web", Ancestors: []project.ID{2}}
	storetest.PutProject(t, f.Client, f.Name, proj)
	tok := f.PutBot(t, proj, clock.DayOf(storetest.Now).AddDays(-1))
	got, _, err := membersIn(t.Context(), f.Store, proj.ID)
	wantErr(t, f, err, nil)
	wantEqual(t, "user", slices.ContainsFunc(got, func(m project.Member) bool { return m.Account == tok.Owner }), true)
	stored, err := f.Store.Project(t.Context(), tok.Project)
	wantErr(t, f, err, nil)
	wantEqual(t, "full path", stored.FullPath, "acme/web")
	_, err = f.Store.Project(t.Context(), 99)
	wantEqual(t, "absent", errors.Is(err, fault.ErrNotFound), true)
}
