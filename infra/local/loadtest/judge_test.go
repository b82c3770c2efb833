package loadtest_test

import (
	"strings"
	"testing"
)

// Breaks if the load test cannot go red, or if it accuses where the order of requests at the same time
// explains an answer.
func TestHistory(t *testing.T) {
	t.Parallel()
	const passed, refused = true, false
	made := span{1, 2}
	for name, test := range map[string]struct {
		token tokenHistory
		owner ownerHistory
		want  string // part of the accusation, "" for none
	}{
		"passes while nothing has ended it":        {token: tokenHistory{attempts: []attempt{{span{3, 4}, "d", passed}}}},
		"refused while nothing has ended it":       {token: tokenHistory{attempts: []attempt{{span{3, 4}, "d", refused}}}, want: "nobody had ended"},
		"passes after the answered end":            {token: tokenHistory{ends: []span{{3, 4}}, attempts: []attempt{{span{5, 6}, "d", passed}}}, want: "after its end"},
		"refused after the answered end":           {token: tokenHistory{ends: []span{{3, 4}}, attempts: []attempt{{span{5, 6}, "d", refused}}}},
		"passes while the end is on its way":       {token: tokenHistory{ends: []span{{3, 6}}, attempts: []attempt{{span{4, 5}, "d", passed}}}},
		"refused while the end is on its way":      {token: tokenHistory{ends: []span{{3, 6}}, attempts: []attempt{{span{4, 5}, "d", refused}}}},
		"refused before the end began":             {token: tokenHistory{ends: []span{{5, 6}}, attempts: []attempt{{span{3, 4}, "d", refused}}}, want: "nobody had ended"},
		"passes although an unanswered end began":  {token: tokenHistory{ends: []span{{3, never}}, attempts: []attempt{{span{5, 6}, "d", passed}}}},
		"refused after an unanswered end":          {token: tokenHistory{ends: []span{{3, never}}, attempts: []attempt{{span{5, 6}, "d", refused}}}},
		"passes after all were revoked":            {owner: ownerHistory{sweeps: []span{{3, 4}}}, token: tokenHistory{attempts: []attempt{{span{5, 6}, "d", passed}}}, want: "after its end"},
		"passes, made after all were revoked":      {owner: ownerHistory{sweeps: []span{{-2, -1}}}, token: tokenHistory{attempts: []attempt{{span{5, 6}, "d", passed}}}},
		"refused, made after all were revoked":     {owner: ownerHistory{sweeps: []span{{-2, -1}}}, token: tokenHistory{attempts: []attempt{{span{5, 6}, "d", refused}}}, want: "nobody had ended"},
		"refused, made while all were revoked":     {owner: ownerHistory{sweeps: []span{{0, 3}}}, token: tokenHistory{attempts: []attempt{{span{5, 6}, "d", refused}}}},
		"passes, made while all were revoked":      {owner: ownerHistory{sweeps: []span{{0, 3}}}, token: tokenHistory{attempts: []attempt{{span{5, 6}, "d", passed}}}},
		"passes after the block":                   {owner: ownerHistory{blocks: []span{{3, 4}}}, token: tokenHistory{attempts: []attempt{{span{5, 6}, "d", passed}}}, want: "after the block"},
		"passes after block and unblock":           {owner: ownerHistory{blocks: []span{{3, 4}}, unblocks: []span{{5, 6}}}, token: tokenHistory{attempts: []attempt{{span{7, 8}, "d", passed}}}},
		"refused after block and unblock":          {owner: ownerHistory{blocks: []span{{3, 4}}, unblocks: []span{{5, 6}}}, token: tokenHistory{attempts: []attempt{{span{7, 8}, "d", refused}}}, want: "nobody had ended"},
		"refused, blocked and unblocked at once":   {owner: ownerHistory{blocks: []span{{3, 5}}, unblocks: []span{{4, 6}}}, token: tokenHistory{attempts: []attempt{{span{7, 8}, "d", refused}}}},
		"passes, blocked and unblocked at once":    {owner: ownerHistory{blocks: []span{{3, 5}}, unblocks: []span{{4, 6}}}, token: tokenHistory{attempts: []attempt{{span{7, 8}, "d", passed}}}},
		"passes, unblocked before the block":       {owner: ownerHistory{blocks: []span{{5, 6}}, unblocks: []span{{3, 4}}}, token: tokenHistory{attempts: []attempt{{span{7, 8}, "d", passed}}}, want: "after the block"},
		"passes while the unblock is on its way":   {owner: ownerHistory{blocks: []span{{3, 4}}, unblocks: []span{{5, 9}}}, token: tokenHistory{attempts: []attempt{{span{7, 8}, "d", passed}}}},
		"no token for an account that was blocked": {owner: ownerHistory{blocks: []span{{3, 4}}, refused: []span{{5, 6}}}},
		"no token for an account in good standing": {owner: ownerHistory{blocks: []span{{7, 8}}, refused: []span{{5, 6}}}, want: "got no token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.token.made, test.token.owner = made, &test.owner
			found := faults([]*tokenHistory{&test.token}, []*ownerHistory{&test.owner})
			if got := strings.Join(found, "; "); (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
				t.Errorf("found %q, want %q", got, test.want)
			}
		})
	}
}
