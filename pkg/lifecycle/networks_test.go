package lifecycle_test

import (
	"slices"
	"testing"

	"latchkey/pkg/lifecycle"
	"latchkey/pkg/project"
	"latchkey/pkg/token"
)

func networks(t *testing.T, texts ...string) token.Networks {
	t.Helper()
	n, err := token.ParseNetworks(texts)
	checkErr(t, err, nil)
	return n
}

// Breaks if somebody gets out of the networks of the token they hold.
func TestNetworksOfATokenForOneself(t *testing.T) {
	for _, test := range []struct {
		name           string
		caller, wanted []string
		want           []string
		err            error
	}{
		{"anywhere from anywhere", nil, nil, nil, nil},
		{"somewhere from anywhere", nil, []string{"10.0.0.0/8"}, []string{"10.0.0.0/8"}, nil},
		{"the caller's where nothing is asked for", []string{"10.0.0.0/8"}, nil, []string{"10.0.0.0/8"}, nil},
		{"a part of the caller's", []string{"10.0.0.0/8"}, []string{"10.1.0.0/16"}, []string{"10.1.0.0/16"}, nil},
		{"more than the caller's", []string{"10.0.0.0/8"}, []string{"10.1.0.0/16", "192.0.2.7"}, nil, lifecycle.ErrNetworksBeyondCaller},
		{"everywhere", []string{"10.0.0.0/8"}, []string{"0.0.0.0/0"}, nil, lifecycle.ErrNetworksBeyondCaller},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			by := f.caller(f.give(t, owner, func(tok *token.Token) { tok.Networks = networks(t, test.caller...) }))
			wanted := spec()
			wanted.ExpiresOn, wanted.Networks = by.Token.ExpiresOn, networks(t, test.wanted...)
			issued, err := f.issuer.CreateForSelf(t.Context(), by, wanted)
			checkErr(t, err, test.err)
			if !slices.Equal(issued.Token.Networks, networks(t, test.want...)) {
				t.Errorf("networks %v", issued.Token.Networks.Texts())
			}
			if err != nil && f.writes > 0 {
				t.Errorf("%d writes", f.writes)
			}
		})
	}
}

func TestNetworksAreThoseThatWereAskedFor(t *testing.T) {
	f := newFixture(t)
	wanted := spec()
	wanted.Networks = networks(t, "192.0.2.0/24")
	for name, create := range map[string]func() (lifecycle.Issued, error){
		"for a user": func() (lifecycle.Issued, error) {
			return f.issuer.CreateFor(t.Context(), f.callerOf(t, admin), owner, wanted)
		},
		"for impersonation": func() (lifecycle.Issued, error) {
			return f.issuer.CreateImpersonation(t.Context(), f.callerOf(t, admin), owner, wanted)
		},
		"by the console": func() (lifecycle.Issued, error) {
			return f.issuer.CreateByConsole(t.Context(), "", f.accts[owner], wanted, "")
		},
		"for a project": func() (lifecycle.Issued, error) {
			return f.issuer.CreateForProject(t.Context(), f.callerAt(t, web, project.Maintainer), project.KindProject, "8", lifecycle.ProjectSpec{Spec: wanted})
		},
	} {
		t.Run(name, func(t *testing.T) {
			issued, err := create()
			checkErr(t, err, nil)
			for range 2 {
				if !slices.Equal(f.tokens[issued.Token.ID].Networks, wanted.Networks) {
					t.Errorf("networks %v", f.tokens[issued.Token.ID].Networks.Texts())
				}
				issued, err = f.issuer.RotateSelf(t.Context(), f.caller(issued.Token), lifecycle.Rotation{}) // and its successor's
				checkErr(t, err, nil)
			}
		})
	}
}
