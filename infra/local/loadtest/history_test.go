// Package loadtest_test puts many clients on one Latchkey at once, while its engine fails and its throttles
// bite, and judges afterwards whether any answer was wrong. TestHistory shows that the judge finds one.
package loadtest_test

import (
	"fmt"
	"math"
)

// never is the end of a request whose answer the client has not received.
const never = math.MaxInt64

// A span is what one client saw of one request and its repetitions: it began after everything with a smaller
// number, and its answer came before everything with a larger one.
type span struct{ from, to int64 }

func (s span) before(other span) bool { return s.to < other.from }

// An attempt is a question that was decided: a check, or a rotation, which only a good token gets.
type attempt struct {
	span
	door string
	good bool
}

// A tokenHistory is what was done to one token.
type tokenHistory struct {
	name     string
	owner    *ownerHistory
	made     span
	ends     []span // revoked, rotated or reported as leaked
	attempts []attempt
}

// An ownerHistory is what was done to one account.
type ownerHistory struct {
	name     string
	blocks   []span
	unblocks []span
	sweeps   []span // revocations of everything it has
	refused  []span // creations that were refused
}

// mayBeBlocked says whether the account could be blocked at an instant of s.
func (o *ownerHistory) mayBeBlocked(s span) bool {
	for _, block := range o.blocks {
		if s.before(block) {
			continue
		}
		lifted := false
		for _, unblock := range o.unblocks {
			lifted = lifted || block.before(unblock) && unblock.before(s)
		}
		if !lifted {
			return true
		}
	}
	return false
}

// mustBeBlocked says whether the account was blocked at every instant of s.
func (o *ownerHistory) mustBeBlocked(s span) bool {
	for _, block := range o.blocks {
		if !block.before(s) {
			continue
		}
		lifted := false
		for _, unblock := range o.unblocks {
			lifted = lifted || !unblock.before(block) && !s.before(unblock)
		}
		if !lifted {
			return true
		}
	}
	return false
}

func (h *tokenHistory) mayBeEnded(s span) bool {
	for _, end := range h.ends {
		if !s.before(end) {
			return true
		}
	}
	for _, sweep := range h.owner.sweeps {
		if !s.before(sweep) && !sweep.before(h.made) {
			return true
		}
	}
	return false
}

func (h *tokenHistory) mustBeEnded(s span) bool {
	for _, end := range h.ends {
		if end.before(s) {
			return true
		}
	}
	for _, sweep := range h.owner.sweeps {
		if h.made.before(sweep) && sweep.before(s) {
			return true
		}
	}
	return false
}

// faults returns what no order of the requests can explain.
func faults(tokens []*tokenHistory, owners []*ownerHistory) (found []string) {
	for _, h := range tokens {
		for _, a := range h.attempts {
			switch {
			case a.good && h.mustBeEnded(a.span):
				found = append(found, fmt.Sprintf("%s of %s passed %s at %v after its end was answered: %v %v", h.name, h.owner.name, a.door, a.span, h.ends, h.owner.sweeps))
			case a.good && h.owner.mustBeBlocked(a.span):
				found = append(found, fmt.Sprintf("%s of %s passed %s at %v after the block was answered", h.name, h.owner.name, a.door, a.span))
			case !a.good && !h.mayBeEnded(a.span) && !h.owner.mayBeBlocked(a.span):
				found = append(found, fmt.Sprintf("%s of %s was refused by %s at %v, and nobody had ended it", h.name, h.owner.name, a.door, a.span))
			}
		}
	}
	for _, o := range owners {
		for _, refused := range o.refused {
			if !o.mayBeBlocked(refused) {
				found = append(found, fmt.Sprintf("%s got no token at %v, and nobody had blocked it", o.name, refused))
			}
		}
	}
	return found
}
