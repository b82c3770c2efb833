package e2e_test

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"pgregory.net/rapid" // draws the steps, and shortens those that fail

	"latchkey/infra/local/localtest"
	"latchkey/pkg/clock"
)

// A modelToken is what the documentation says of a token.
type modelToken struct {
	id      int64
	bearer  string // "" for one whose reply was lost
	owner   *modelOwner
	made    clock.Day
	expires clock.Day
	dies    time.Time      // of one with a short life
	chain   *[]*modelToken // all that were rotated from one, oldest first

	ended      bool      // revoked, in whatever way but a rotation or in bulk
	inBulk     bool      // revoked in bulk
	superseded bool      // by a rotation
	rotatedAt  time.Time // of a superseded one
	worksUntil time.Time // of a superseded one
	untilUsed  bool      // or until its successor is used
	forgiven   time.Time // when its rotation window began, if that was not at rotatedAt

	endsOnUse *modelToken // what its first use ends
}

type modelOwner struct {
	holder
	blocked bool
	tokens  []*modelToken
}

// A modelUse is what was made under an idempotency key.
type modelUse struct {
	request string
	at      time.Time
	made    *modelToken
}

// over reports whether a token has ended by itself.
func (t *modelToken) over(now time.Time) bool {
	return t.ended || t.superseded && !now.Before(t.worksUntil)
}

func (t *modelToken) revoked(now time.Time) bool { return t.inBulk || t.over(now) }
func (t *modelToken) expired(now time.Time) bool {
	if t.dies.IsZero() {
		return !now.Before(t.expires.Start())
	}
	return !now.Before(t.dies)
}

// inWindow reports whether presenting a token that was rotated away is no reuse yet.
func (t *modelToken) inWindow(now time.Time) bool {
	from := t.rotatedAt
	if !t.forgiven.IsZero() {
		from = t.forgiven
	}
	return now.Before(from.Add(rotationWindow))
}

// use does what a good use of the token does to its predecessor.
func (t *modelToken) use(now time.Time) {
	old := t.endsOnUse
	if t.endsOnUse = nil; old != nil && !old.over(now) {
		old.worksUntil, old.forgiven = now, now
	}
}

// presented is the reply to a request for the token itself.
func (t *modelToken) presented(now time.Time) (status int, body string) {
	switch {
	case t.expired(now):
		return http.StatusUnauthorized, expiredBody
	case t.revoked(now):
		return http.StatusUnauthorized, revokedBody
	case t.owner.blocked:
		return http.StatusForbidden, blockedBody
	default:
		return http.StatusOK, ""
	}
}

func (t *modelToken) end(now time.Time) {
	if !t.over(now) {
		t.ended = true
	}
}

// A machine does the same with the product and with the model.
type machine struct {
	*rapid.T
	t      *testing.T // for what has to go well
	world  *localtest.World
	places []string // addresses of differently updated functions, among which every request chooses
	line   *line
	owners []*modelOwner
	uses   map[string]modelUse // by who asked and the key
	// made has the chains that a chain made for its own account, and depth how many made each other above one.
	made  map[*[]*modelToken][]*[]*modelToken
	depth map[*[]*modelToken]int
	// overlap and sameLife are settings: what a rotation gets that does not say.
	overlap  time.Duration
	sameLife bool
	recent   []*modelToken // whose bearers are tried after each step
	calls    []call        // the last ones
	steps    int
}

func (m *machine) now() time.Time { return m.world.Clock.Now() }

func (m *machine) all() (tokens []*modelToken) {
	for _, owner := range m.owners {
		tokens = append(tokens, owner.tokens...)
	}
	return tokens
}

func (m *machine) owner() *modelOwner {
	return m.owners[rapid.IntRange(0, len(m.owners)-1).Draw(m.T, "owner")]
}

// token draws a token, of the newest ones rather than of all.
func (m *machine) token() *modelToken { return m.oneOf(m.all()) }

// bearer draws one whose reply was not lost.
func (m *machine) bearer() *modelToken {
	return m.oneOf(slices.DeleteFunc(m.all(), func(t *modelToken) bool { return t.bearer == "" }))
}

func (m *machine) oneOf(all []*modelToken) *modelToken {
	slices.SortStableFunc(all, func(a, b *modelToken) int { return slices.Index(m.recent, b) - slices.Index(m.recent, a) })
	if rapid.IntRange(0, 3).Draw(m.T, "an old one") > 0 {
		all = all[:min(len(all), 3)]
	}
	return all[rapid.IntRange(0, len(all)-1).Draw(m.T, "token")]
}

// add puts a token into the model that the product has made.
func (m *machine) add(t *modelToken) *modelToken {
	t.owner.tokens = append(t.owner.tokens, t)
	t.made = clock.DayOf(m.now())
	if t.chain == nil {
		t.chain = &[]*modelToken{}
		m.depth[t.chain] = 1 // the administrator's token made it, unless it is a child
	}
	*t.chain = append(*t.chain, t)
	m.touch(t)
	return t
}

func (m *machine) touch(t *modelToken) {
	m.recent = append(slices.DeleteFunc(m.recent, func(r *modelToken) bool { return r == t }), t)
	m.recent = m.recent[max(0, len(m.recent)-4):]
}

// A call is a request that changes something.
type call struct {
	bearer, method, path, key, body string
	// apply returns the reply by the model, and does to the model what the
	// request does. made is where a new token's id and bearer go.
	apply func() (status int, body string, made *modelToken)
}

// The ways in which the engine can fail a request.
const (
	works       = "works"
	lostRequest = "loses the first write"
	lostReply   = "loses the reply to the first write"
	diesBefore  = "is gone from the first write on"
	diesAfter   = "is gone once it has done the first write"
)

// A line is what connects the product with its engine.
type line struct {
	mu     sync.Mutex
	fault  string
	writes int // since the fault
}

// fails makes the line fail, or work again, and returns how many writes there were before.
func (l *line) fails(fault string) (writes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	writes = l.writes
	l.fault, l.writes = fault, 0
	return writes
}

// loses says whether a request gets lost, or its reply.
func (l *line) loses(operation string) (request, reply bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	write := strings.HasSuffix(operation, ".TransactWriteItems")
	if write {
		l.writes++
	}
	first := write && l.writes == 1
	switch l.fault {
	case lostRequest:
		return first, false
	case lostReply:
		return false, first
	case diesBefore:
		return l.writes > 0, false
	case diesAfter:
		return l.writes > 0 && !first, first
	default:
		return false, false
	}
}

// A lineClient sends requests over a line.
type lineClient struct {
	dynamodb.HTTPClient
	line *line
}

func (c lineClient) Do(r *http.Request) (*http.Response, error) {
	lost := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	request, reply := c.line.loses(r.Header.Get("X-Amz-Target"))
	if request {
		return nil, lost
	}
	response, err := c.HTTPClient.Do(r)
	if reply && err == nil {
		response.Body.Close()
		return nil, lost
	}
	return response, err
}

// do makes a call while the engine has a fault. After a fault that the product
// cannot hide from its client, the request is made again, as a client does.
//
// A use that ends a predecessor comes before, because it is tried once and may fail on its own.
func (m *machine) do(c call) {
	for _, t := range m.all() {
		if t.bearer == c.bearer && t.endsOnUse != nil {
			m.compareReply(t)
		}
	}
	fault := rapid.SampledFrom([]string{works, works, works, works, works, lostRequest, lostReply, diesBefore, diesAfter}).Draw(m.T, "the engine")
	m.attempt(c, fault)
	m.calls = append(m.calls, c)
	m.calls = m.calls[max(0, len(m.calls)-4):]
}

// again makes one of the last calls once more, as clients do that got no reply.
func (m *machine) again() {
	if len(m.calls) > 0 {
		m.attempt(m.calls[rapid.IntRange(0, len(m.calls)-1).Draw(m.T, "call")], works)
	}
}

// administer does what ends many tokens, so it is rare.
func (m *machine) administer() {
	switch rapid.IntRange(0, 5).Draw(m.T, "what") {
	case 0:
		m.revokeEverything()
	case 1:
		m.setBlocked("block", true)
	case 2, 3, 4:
		m.setBlocked("unblock", false)
	case 5:
		m.revokeSelf()
	}
}

func (m *machine) attempt(c call, fault string) {
	m.line.fails(fault)
	reply := m.send(c.bearer, c.method, c.path, c.key, c.body)
	writes := m.line.fails(works)
	if dead := (fault == diesBefore || fault == diesAfter) && writes > 0; dead {
		// Only the note that a token was used again may be missing from a reply that is whole.
		if reply.Status != http.StatusServiceUnavailable && reply.Status != http.StatusUnauthorized {
			m.Fatalf("%s %s while the engine %s: %d %s", c.method, c.path, fault, reply.Status, reply.Body)
		}
		if fault == diesAfter {
			if _, _, made := c.apply(); made != nil {
				made.id = m.lastID(made.owner)
			}
		}
		m.attempt(c, works)
		// A token that has ended itself cannot go on; the product finishes by itself.
		now := m.now()
		defer m.world.Clock.Set(now) // the calls that are made again name days
		m.world.Clock.Set(now.Add(2 * time.Minute))
		if _, err := m.world.Functions["endings"].Invoke(m.t.Context(), []byte("{}")); err != nil {
			m.Fatal(err)
		}
		return
	}
	status, body, made := c.apply()
	if reply.Status != status || body != "" && strings.TrimSpace(reply.Body) != body {
		m.Fatalf("%s %s while the engine %s: %d %s, want %d %s", c.method, c.path, fault, reply.Status, reply.Body, status, body)
	}
	if made == nil {
		return
	}
	var got personalToken
	decode(m.t, reply.Body, &got)
	if made.id == 0 {
		made.id, made.bearer = got.ID, got.Token
	}
	if made.bearer == "" { // the first reply was lost
		made.bearer = got.Token
	}
	if dies := got.ExpiresAtTime; !made.dies.IsZero() && dies != made.dies.Format("2006-01-02T15:04:05.000Z") || made.dies.IsZero() && dies != "" {
		m.Fatalf("%s %s: dies at %s, want %s", c.method, c.path, dies, made.dies)
	}
	if got.ID != made.id || got.Token != made.bearer || got.ExpiresAt != made.expires.String() || got.Revoked || !got.Active {
		m.Fatalf("%s %s: %+v, want token %d until %s", c.method, c.path, got, made.id, made.expires)
	}
}

// lastID asks for the id of a token whose reply was lost.
func (m *machine) lastID(owner *modelOwner) (last int64) {
	for _, t := range m.list(owner, "") {
		last = max(last, t.ID)
	}
	return last
}

func (m *machine) send(bearer, method, path, key, body string) localtest.Reply {
	at := rapid.SampledFrom(m.places).Draw(m.T, "place")
	request, err := http.NewRequestWithContext(m.t.Context(), method, at+path, strings.NewReader(body))
	if err != nil {
		m.Fatal(err)
	}
	request.Header.Set("PRIVATE-TOKEN", bearer)
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	return m.world.Send(m.t, request)
}

// key draws none, or one of two, so that requests meet under one.
func (m *machine) key() string {
	key := rapid.SampledFrom([]string{"", "", "a", "b"}).Draw(m.T, "key")
	if key != "" {
		key = fmt.Sprintf("%s-%d", key, m.owners[0].ID) // the administrator's are of all runs
	}
	return key
}

func (m *machine) day() clock.Day {
	return clock.DayOf(m.now()).AddDays(rapid.IntRange(1, 3).Draw(m.T, "days"))
}

// replay returns what was made under a key, or that it stands for another request.
func (m *machine) replay(c call, ok int) (status int, body string, made *modelToken, found bool) {
	use, found := m.uses[c.bearer+c.key]
	switch {
	case c.key == "" || !found || !m.now().Before(use.at.Add(24*time.Hour)):
		return 0, "", nil, false
	case use.request != c.path+c.body:
		return http.StatusUnprocessableEntity, `{"message":"Idempotency-Key was used for another request"}`, nil, true
	default:
		return ok, "", use.made, true
	}
}

func (m *machine) make(c call, ok int, t *modelToken) (int, string, *modelToken) {
	m.add(t)
	if c.key != "" {
		m.uses[c.bearer+c.key] = modelUse{c.path + c.body, m.now(), t}
	}
	return ok, "", t
}

// issue makes a token as the administrator.
func (m *machine) issue() {
	owner, expires := m.owner(), m.day()
	c := call{bearer: root.Bearer, method: "POST", path: fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", owner.ID), key: m.key()}
	c.body = fmt.Sprintf(`{"name":"made","scopes":["api"],"expires_at":%q}`, expires)
	c.apply = func() (int, string, *modelToken) {
		if status, body, made, found := m.replay(c, http.StatusCreated); found {
			return status, body, made
		}
		if owner.blocked {
			return http.StatusUnprocessableEntity, `{"message":"Not permitted to create"}`, nil
		}
		return m.make(c, http.StatusCreated, &modelToken{owner: owner, expires: expires})
	}
	m.do(c)
}

// issueRow makes a token with another one, and the next with that, as deep as it goes.
func (m *machine) issueRow() {
	t := m.bearer()
	for range 9 {
		before := len(m.made[t.chain])
		m.issueOwnWith(t)
		if made := m.made[t.chain]; len(made) > before && (*made[before])[0].bearer != "" {
			t = (*made[before])[0]
		}
	}
}

// issueOwn makes a token with another one of the same account.
func (m *machine) issueOwn() { m.issueOwnWith(m.bearer()) }

func (m *machine) issueOwnWith(t *modelToken) {
	expires := m.day()
	if seconds := rapid.SampledFrom([]int{0, 0, 60, 3600, 86400}).Draw(m.T, "life"); seconds > 0 {
		m.issueOwnFor(t, seconds)
		return
	}
	c := call{bearer: t.bearer, method: "POST", path: "/api/v4/user/personal_access_tokens", key: m.key()}
	c.body = fmt.Sprintf(`{"name":"child","scopes":["api"],"expires_at":%q}`, expires)
	c.apply = func() (int, string, *modelToken) {
		m.touch(t)
		now := m.now()
		if status, body := t.presented(now); status != http.StatusOK {
			return status, body, nil
		}
		if status, body, made, found := m.replay(c, http.StatusCreated); found {
			return status, body, made
		}
		return m.child(c, t, &modelToken{owner: t.owner, expires: expires})
	}
	m.do(c)
}

// issueOwnFor is issueOwnWith for seconds.
func (m *machine) issueOwnFor(t *modelToken, seconds int) {
	c := call{bearer: t.bearer, method: "POST", path: "/api/v4/user/personal_access_tokens", key: m.key()}
	c.body = fmt.Sprintf(`{"name":"child","scopes":["api"],"expires_in":%d}`, seconds)
	c.apply = func() (int, string, *modelToken) {
		m.touch(t)
		if status, body := t.presented(m.now()); status != http.StatusOK {
			return status, body, nil
		}
		if status, body, made, found := m.replay(c, http.StatusCreated); found {
			return status, body, made
		}
		return m.child(c, t, m.lasting(t.owner, seconds))
	}
	m.do(c)
}

// lasting is a token for seconds from now.
func (m *machine) lasting(owner *modelOwner, seconds int) *modelToken {
	dies := m.now().Add(time.Duration(seconds) * time.Second)
	return &modelToken{owner: owner, dies: dies, expires: clock.DayOf(dies.Add(24*time.Hour - time.Second))}
}

// child is what comes of a request by t for another token of its account.
func (m *machine) child(c call, t, child *modelToken) (int, string, *modelToken) {
	last, ends := t.expires, child.expires.Start()
	if after := clock.DayOf(t.worksUntil).AddDays(1); t.superseded && last.After(after) {
		last = after
	}
	if !child.dies.IsZero() {
		ends = child.dies
	}
	switch {
	case m.depth[t.chain] == 8:
		return http.StatusBadRequest, "", nil
	case !child.expires.After(clock.DayOf(m.now())), child.expires.After(last):
		return http.StatusUnprocessableEntity, "", nil
	case !t.dies.IsZero() && ends.After(t.dies):
		return http.StatusBadRequest, "", nil
	}
	status, body, child := m.make(c, http.StatusCreated, child)
	m.made[t.chain] = append(m.made[t.chain], child.chain)
	m.depth[child.chain] = m.depth[t.chain] + 1
	return status, body, child
}

// issueShort makes a token with a short life as the administrator.
func (m *machine) issueShort() {
	owner := m.owner()
	seconds := rapid.SampledFrom([]int{60, 3600, 86400, 604800}).Draw(m.T, "life")
	c := call{bearer: root.Bearer, method: "POST", path: fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", owner.ID), key: m.key()}
	c.body = fmt.Sprintf(`{"name":"made","scopes":["api"],"expires_in":%d}`, seconds)
	c.apply = func() (int, string, *modelToken) {
		if status, body, made, found := m.replay(c, http.StatusCreated); found {
			return status, body, made
		}
		if owner.blocked {
			return http.StatusUnprocessableEntity, `{"message":"Not permitted to create"}`, nil
		}
		return m.make(c, http.StatusCreated, m.lasting(owner, seconds))
	}
	m.do(c)
}

const shortLived = `{"message":"400 Bad request - A token made with expires_in cannot be rotated"}`

// endMade ends what a chain made, and what that made.
func (m *machine) endMade(chain *[]*modelToken) {
	for _, child := range m.made[chain] {
		for _, t := range *child {
			t.end(m.now())
			m.touch(t)
		}
		m.endMade(child)
	}
}

// rotation draws the parameters of one.
func (m *machine) rotation() (body string, expires clock.Day, overlap time.Duration) {
	expires = m.day()
	seconds := rapid.SampledFrom([]int{0, 0, 1, 3600, 86400, untilUsed, untilUsed, usual, usual}).Draw(m.T, "overlap")
	switch seconds {
	case usual:
		return "{}", clock.Day{}, usual
	case untilUsed:
		return fmt.Sprintf(`{"expires_at":%q,"overlap":"until_used"}`, expires), expires, untilUsed
	}
	return fmt.Sprintf(`{"expires_at":%q,"overlap_seconds":%d}`, expires, seconds), expires, time.Duration(seconds) * time.Second
}

// untilUsed is the overlap that the first use of the successor ends, and usual that of a request that does not say.
const untilUsed, usual = -1, -2

// succeed gives t a successor.
func (m *machine) succeed(c call, t *modelToken, expires clock.Day, overlap time.Duration) (int, string, *modelToken) {
	if overlap == usual {
		overlap, expires = m.overlap, clock.DayOf(m.now()).AddDays(7)
		if m.sameLife {
			expires = clock.DayOf(m.now()).AddDays(t.made.DaysUntil(t.expires))
		}
	}
	next := &modelToken{owner: t.owner, expires: expires, chain: t.chain}
	if overlap == untilUsed {
		overlap, t.untilUsed, next.endsOnUse = 24*time.Hour, true, t
	}
	t.superseded, t.rotatedAt, t.worksUntil = true, m.now(), m.now().Add(overlap)
	return m.make(c, http.StatusOK, next)
}

// rotate rotates a token as the administrator.
func (m *machine) rotate() {
	t := m.token()
	body, expires, overlap := m.rotation()
	c := call{bearer: root.Bearer, method: "POST", path: fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", t.id), key: m.key(), body: body}
	c.apply = func() (int, string, *modelToken) {
		m.touch(t)
		if status, body, made, found := m.replay(c, http.StatusOK); found {
			return status, body, made
		}
		switch {
		case t.revoked(m.now()) || t.superseded:
			return http.StatusBadRequest, `{"message":"400 Bad request - Token already revoked"}`, nil
		case !t.dies.IsZero():
			return http.StatusBadRequest, shortLived, nil
		case t.owner.blocked:
			return http.StatusBadRequest, `{"message":"400 Bad request - Not permitted to create"}`, nil
		}
		return m.succeed(c, t, expires, overlap)
	}
	m.do(c)
}

// rotateSelf rotates a token with itself: a use that is one too many if it was
// rotated or revoked before, and ends what came of it.
func (m *machine) rotateSelf() {
	t := m.bearer()
	body, expires, overlap := m.rotation()
	c := call{bearer: t.bearer, method: "POST", path: "/api/v4/personal_access_tokens/self/rotate", key: m.key(), body: body}
	c.apply = func() (int, string, *modelToken) {
		m.touch(t)
		now := m.now()
		status, refusal := t.presented(now)
		if status == http.StatusOK {
			t.use(now)
		}
		if good := status == http.StatusOK; good || t.superseded && !t.ended && !t.owner.blocked {
			if status, body, made, found := m.replay(c, http.StatusOK); found {
				return status, body, made
			}
		}
		switch {
		case status == http.StatusOK && t.superseded, refusal == revokedBody && t.superseded && !t.ended && t.inWindow(now):
			return http.StatusConflict, rotatedBody, nil
		case status == http.StatusOK && !t.dies.IsZero():
			return http.StatusBadRequest, shortLived, nil
		case status == http.StatusOK:
			return m.succeed(c, t, expires, overlap)
		case refusal == revokedBody:
			for _, relative := range *t.chain {
				relative.end(now)
				m.touch(relative)
			}
			m.endMade(t.chain)
		}
		return status, refusal, nil
	}
	m.do(c)
}

// revoke revokes a token as the administrator, or its family.
func (m *machine) revoke() {
	t := m.token()
	family := rapid.SampledFrom([]string{"", "", "?family=true", "?keep_children=true", "?family=true&keep_children=true"}).Draw(m.T, "family")
	m.do(call{
		bearer: root.Bearer, method: "DELETE", path: fmt.Sprintf("/api/v4/personal_access_tokens/%d%s", t.id, family),
		apply: func() (int, string, *modelToken) {
			t.end(m.now())
			all := strings.Contains(family, "family")
			if !strings.Contains(family, "keep") && (all || !t.superseded) {
				m.endMade(t.chain)
			}
			if all {
				for _, relative := range *t.chain {
					relative.end(m.now())
				}
			}
			m.touch(t)
			return http.StatusNoContent, "", nil
		},
	})
}

// revokeSelf revokes a token with itself.
func (m *machine) revokeSelf() {
	t := m.bearer()
	m.do(call{
		bearer: t.bearer, method: "DELETE", path: "/api/v4/personal_access_tokens/self",
		apply: func() (int, string, *modelToken) {
			m.touch(t)
			if status, body := t.presented(m.now()); status != http.StatusOK {
				return status, body, nil
			}
			t.use(m.now())
			t.end(m.now())
			if !t.superseded {
				m.endMade(t.chain)
			}
			return http.StatusNoContent, "", nil
		},
	})
}

// revokeEverything revokes what an account has.
func (m *machine) revokeEverything() {
	owner := m.owner()
	m.do(call{
		bearer: root.Bearer, method: "DELETE", path: fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", owner.ID),
		apply: func() (int, string, *modelToken) {
			for _, t := range owner.tokens {
				t.inBulk = true
			}
			return http.StatusNoContent, "", nil
		},
	})
}

// setBlocked blocks an account, or lets it in again.
func (m *machine) setBlocked(action string, blocked bool) {
	owner := m.owner()
	m.do(call{
		bearer: root.Bearer, method: "POST", path: fmt.Sprintf("/api/v4/users/%d/%s", owner.ID, action),
		apply: func() (int, string, *modelToken) {
			owner.blocked = blocked
			return http.StatusCreated, "", nil
		},
	})
}

// wait lets time pass: a second, up to a day, or to one of the instants at which
// something ends, and the second before.
func (m *machine) wait() {
	now := m.now()
	instants := []time.Time{now.Add(time.Second), now.Add(time.Hour), now.Add(23 * time.Hour), clock.DayOf(now).AddDays(1).Start()}
	for _, t := range m.recent {
		instants = append(instants, t.worksUntil, t.rotatedAt.Add(rotationWindow), t.forgiven.Add(rotationWindow), t.dies)
	}
	for _, instant := range slices.Clone(instants) {
		instants = append(instants, instant.Add(-time.Second))
	}
	instants = slices.DeleteFunc(instants, func(instant time.Time) bool { return !instant.After(now) })
	m.world.Clock.Set(rapid.SampledFrom(instants).Draw(m.T, "until"))
	if clock.DayOf(m.now()) != clock.DayOf(now) {
		m.calls = nil // they may ask for a day that has come
	}
}

// modelStates are the states that lists filter by.
var modelStates = []string{"", "active", "inactive"}

type listedToken struct {
	ID              int64
	Revoked, Active bool
	SupersededUntil string `json:"superseded_until"`
	UntilUsed       bool   `json:"superseded_until_used"`
}

func (m *machine) list(owner *modelOwner, state string) (tokens []listedToken) {
	decode(m.t, want(m.t, m.world, root.Bearer, "GET", fmt.Sprintf("/api/v4/personal_access_tokens?per_page=100&user_id=%d&state=%s", owner.ID, state), "", http.StatusOK), &tokens)
	slices.SortFunc(tokens, func(a, b listedToken) int { return int(a.ID - b.ID) })
	return tokens
}

// compare holds the product against the model after a step. A step costs a list of one owner's tokens and
// a check of each recent one, at the API or at the authorizer. The next step asks for the other owner's, of
// another state, and at the other place, so that what is wrong and stays so is seen then.
func (m *machine) compare() {
	m.steps++
	m.compareList(m.owners[m.steps%len(m.owners)], modelStates[m.steps%len(modelStates)])
	for i, t := range m.recent {
		switch {
		case t.bearer == "":
		case (m.steps+i)%2 == 0:
			m.compareReply(t)
		default:
			m.compareAnswer(t)
		}
	}
}

// compareEverything compares a list of all tokens, or of those in a state, which is read by cursors in small
// parts. The world has the tokens of earlier runs too.
func (m *machine) compareEverything() {
	orders := []string{"id_asc", "id_desc", "created_asc", "created_desc", "expires_asc", "expires_desc"}
	order, state := orders[m.steps%len(orders)], modelStates[m.steps%len(modelStates)]
	missing, now := map[int64]bool{}, m.now()
	for _, owner := range m.owners {
		for _, t := range owner.tokens {
			if active := !t.revoked(now) && !t.expired(now); state == "" || active == (state == "active") {
				missing[t.id] = true
			}
		}
	}
	before := ""
	for path := "/api/v4/personal_access_tokens?pagination=keyset&per_page=40&sort=" + order + "&state=" + state; path != ""; {
		reply := m.world.Do(m.t, root.Bearer, "GET", path, "")
		var tokens []struct {
			ID            int64
			CreatedAt     string `json:"created_at"`
			ExpiresAt     string `json:"expires_at"`
			ExpiresAtTime string `json:"expires_at_time"`
		}
		decode(m.t, reply.Body, &tokens)
		for _, t := range tokens {
			place := map[string]string{"id": "", "created": t.CreatedAt, "expires": cmp.Or(t.ExpiresAtTime, t.ExpiresAt+"T00:00:00.000Z")}[strings.Split(order, "_")[0]]
			place = fmt.Sprintf("%s#%016d", place, t.ID)
			inOrder := place > before
			if strings.HasSuffix(order, "_desc") {
				inOrder = place < before
			}
			if before != "" && !inOrder { // the same place would be the same token again
				m.Fatalf("%s: %s comes behind %s", order, place, before)
			}
			before = place
			delete(missing, t.ID)
		}
		path = ""
		if _, link, some := strings.Cut(reply.Header.Get("Link"), "/api/v4/"); some {
			link, _, _ = strings.Cut(link, ">")
			path = "/api/v4/" + link
			m.refuses(strings.Replace(path, "sort="+order, "sort="+orders[(m.steps+1)%len(orders)], 1))
			m.refuses(path + "&search=made")
		}
	}
	if len(missing) > 0 {
		m.Fatalf("%s, state %q: %v are missing", order, state, slices.Sorted(maps.Keys(missing)))
	}
}

// refuses asks for a part of another list than the one that the cursor is of.
func (m *machine) refuses(path string) {
	if reply := m.world.Do(m.t, root.Bearer, "GET", path, ""); reply.Status != http.StatusBadRequest {
		m.Fatalf("%s: %d, although the cursor is of another list", path, reply.Status)
	}
}

// compareList compares the list of one owner, of a state or "" for every one.
func (m *machine) compareList(owner *modelOwner, state string) {
	now := m.now()
	var wanted []listedToken
	for _, t := range owner.tokens {
		l := listedToken{ID: t.id, Revoked: t.revoked(now), Active: !t.revoked(now) && !t.expired(now)}
		if l.Active && t.superseded {
			l.UntilUsed = t.untilUsed
			l.SupersededUntil = t.worksUntil.Format("2006-01-02T15:04:05.000Z")
		}
		if state == "" || l.Active == (state == "active") {
			wanted = append(wanted, l)
		}
	}
	if got := m.list(owner, state); !slices.Equal(got, wanted) {
		m.Fatalf("at %s the %s tokens of %d are\n%+v, want\n%+v", now.Format(time.RFC3339), state, owner.ID, got, wanted)
	}
}

func (m *machine) compareReply(t *modelToken) {
	status, body := t.presented(m.now())
	reply := m.world.Do(m.t, t.bearer, "GET", "/api/v4/personal_access_tokens/self", "")
	if reply.Status != status || body != "" && strings.TrimSpace(reply.Body) != body {
		m.Fatalf("at %s token %d gets %d %s, want %d %s", m.now().Format(time.RFC3339), t.id, reply.Status, reply.Body, status, body)
	}
	if status == http.StatusOK {
		t.use(m.now())
	}
}

func (m *machine) compareAnswer(t *modelToken) {
	status, _ := t.presented(m.now())
	answer, err := decide(m.t.Context(), m.world, http2, "GET", "/orders", t.bearer)
	if err != nil || answer.allowed != (status == http.StatusOK) {
		m.Fatalf("at %s the authorizer says of token %d: %s, %v", m.now().Format(time.RFC3339), t.id, answer.raw, err)
	}
	if answer.allowed {
		t.use(m.now())
	}
}

// Issue, for days and for seconds, by people and by tokens, rotation with and without overlap, by id and by
// itself, revocation of one and of all, blocks, days that come, retries under a key, a pepper that changes,
// and an engine that dies: whatever comes after whatever, the
// product is where a model of a few lines says. If this fails, a token works that was taken for ended,
// or one has ended that its owner relies on.
func TestProductAgainstModel(t *testing.T) {
	t.Parallel()
	l := &line{}
	through := localtest.Client(t)
	w := localtest.Start(t, localtest.Options{Client: func(options ...func(*dynamodb.Options)) *dynamodb.Client {
		return through(append(options, hasty, func(o *dynamodb.Options) { o.HTTPClient = lineClient{o.HTTPClient, l} })...)
	}})
	first, second := w.Beside(t, peppers(t, localtest.Pepper, newPepper)), w.Beside(t, peppers(t, newPepper, localtest.Pepper))
	var runs, steps int
	t.Cleanup(func() { t.Logf("%d runs, %d steps", runs, steps) })
	rapid.Check(t, func(r *rapid.T) {
		w.Clock.Set(localtest.Now)
		m := &machine{T: r, t: t, world: second, places: []string{first.URL, second.URL}, line: l, uses: map[string]modelUse{}, made: map[*[]*modelToken][]*[]*modelToken{}, depth: map[*[]*modelToken]int{}}
		runs++
		m.overlap, m.sameLife = rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(r, "usual overlap"), rapid.Bool().Draw(r, "same life")
		lifetime := map[bool]string{false: "week", true: "same"}[m.sameLife]
		change(t, w, root.Bearer, fmt.Sprintf(`{"rotation_overlap_seconds":%d,"rotation_lifetime":%q}`, int(m.overlap.Seconds()), lifetime))
		for _, name := range []string{"ada", "bob"} {
			a := newAccount(t, w, fmt.Sprintf("%s-%d", name, runs))
			owner := &modelOwner{holder: a}
			m.owners = append(m.owners, owner)
			m.add(&modelToken{id: a.TokenID, bearer: a.Bearer, owner: owner, expires: clock.DayOf(instant("2026-09-01T00:00:00Z"))})
		}
		step := func(do func()) func(*rapid.T) { return func(*rapid.T) { do() } }
		r.Repeat(map[string]func(*rapid.T){
			"":                               step(m.compare),
			"issue":                          step(m.issue),
			"issue for seconds":              step(m.issueShort),
			"rotate":                         step(m.rotate),
			"rotate by itself":               step(m.rotateSelf),
			"rotate by itself, more often":   step(m.rotateSelf),
			"rotate by itself, most often":   step(m.rotateSelf),
			"make":                           step(m.issueOwn),
			"make, more often":               step(m.issueOwn),
			"make a row":                     step(m.issueRow),
			"revoke":                         step(m.revoke),
			"administer":                     step(m.administer),
			"again":                          step(m.again),
			"again, as often as clients try": step(m.again),
			"wait":                           step(m.wait),
		})
		steps += m.steps
		for _, owner := range m.owners {
			for _, state := range modelStates {
				m.compareList(owner, state)
			}
		}
		m.compareEverything()
		for _, t := range m.recent {
			if t.bearer != "" {
				m.compareReply(t)
				m.compareAnswer(t)
			}
		}
	})
}
