package loadtest_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/infra/cloud"
	"latchkey/infra/local/localtest"
	"latchkey/pkg/clock"
	"latchkey/pkg/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

var (
	clients = flag.Int("clients", 12, "how many clients there are at a time")
	seconds = flag.Int("seconds", 0, "how long they go on; 0 means 30 operations each")
	seed    = flag.Uint64("seed", 1, "what the clients do and which requests to the engine fail; their order is the machine's")
)

const (
	// pace is the time that passes with each request, so that throttles open again however fast the machine is.
	pace = 20 * time.Millisecond
	// enough tries for a client that is unlucky, and few enough to end with a product that is down.
	enough = 500
	// longest is the power of two that bounds a pause, in milliseconds.
	longest = 7
	// recent tokens of an account are those that clients go on to use.
	recent = 20
)

// An engineFault is a way in which the engine fails a request.
type engineFault int

const (
	works engineFault = iota
	losesRequest
	losesReply
	throttles
	breaks
)

// A faultyClient fails a part of the requests to the engine.
type faultyClient struct {
	dynamodb.HTTPClient
	load *load
}

func (c faultyClient) Do(r *http.Request) (*http.Response, error) {
	lost := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	fault := c.load.fault()
	switch fault {
	case losesRequest:
		return nil, lost
	case throttles:
		return answer(r, http.StatusBadRequest, "ProvisionedThroughputExceededException"), nil
	case breaks:
		return answer(r, http.StatusInternalServerError, "InternalServerError"), nil
	}
	response, err := c.HTTPClient.Do(r)
	if err == nil && fault == losesReply {
		response.Body.Close()
		return nil, lost
	}
	return response, err
}

func answer(r *http.Request, status int, kind string) *http.Response {
	body := fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"injected"}`, kind)
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// A load is one run: a Latchkey, its clients, and what they saw.
type load struct {
	world     *localtest.World
	transport *http.Transport
	order     atomic.Int64 // of beginnings and answers
	failing   atomic.Bool

	mu       sync.Mutex
	engine   *rand.Rand  // of the engine's faults
	bad      engineFault // of the outage
	outage   int         // requests to the engine that it lasts for
	requests int
	replies  map[string]int // by kind
	wrong    []string
	accounts []*loadAccount
}

// A loadAccount has the tokens that clients share.
type loadAccount struct {
	ownerHistory
	id int64

	mu     sync.Mutex
	tokens []*loadToken // all that were answered
}

type loadToken struct {
	tokenHistory
	id     int64
	bearer string
}

// fault draws what becomes of a request to the engine: most faults are single ones, which the SDK hides, and
// some last longer than its tries.
func (l *load) fault() engineFault {
	if !l.failing.Load() {
		return works
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.outage > 0 {
		l.outage--
		return l.bad
	}
	switch draw := l.engine.IntN(1000); {
	case draw < 10:
		return engineFault(1 + l.engine.IntN(4))
	case draw < 11:
		l.bad, l.outage = engineFault(1+l.engine.IntN(4)), l.engine.IntN(200)
		return l.bad
	default:
		return works
	}
}

func (l *load) accuse(format string, values ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf(format, values...))
}

// A call is one request of a client.
type call struct {
	method, path, body string
	header             http.Header
}

// A reply is what came of it. Its status is 0 where the client has lost it. With 409, somebody else was faster
// with the same thing, and nothing has changed. A reason is for proxies that pass on nothing but 401 and 403.
type reply struct {
	status int
	reason string
	body   []byte
}

func (r reply) undecided() bool {
	return r.status == 0 || r.status == http.StatusConflict || r.status == http.StatusTooManyRequests || r.status >= 500 ||
		r.reason == "undecided"
}

var numbers = regexp.MustCompile(`/[0-9]+`)

// send makes a request once, and counts its reply by kind.
func (l *load) send(tb testing.TB, c call) reply {
	l.mu.Lock()
	l.requests++
	l.world.Clock.Set(localtest.Now.Add(time.Duration(l.requests) * pace))
	l.mu.Unlock()
	request, err := http.NewRequestWithContext(tb.Context(), c.method, l.world.URL+c.path, strings.NewReader(c.body))
	if err != nil {
		l.accuse("%v", err)
		return reply{}
	}
	request.Header = c.header
	response, err := l.transport.RoundTrip(request)
	if err != nil {
		l.accuse("%s %s: the connection broke: %v", c.method, c.path, err)
		return reply{}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		l.accuse("%s %s: the reply broke: %v", c.method, c.path, err)
	}
	kind := fmt.Sprintf("%s %s: %d", c.method, numbers.ReplaceAllString(strings.SplitN(c.path, "?", 2)[0], "/{id}"), response.StatusCode)
	if response.StatusCode >= 400 {
		kind += " " + strings.TrimSpace(string(body))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.replies[kind]++
	if response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") == "" && strings.HasPrefix(c.path, "/api/") {
		l.wrong = append(l.wrong, kind+" without Retry-After")
	}
	if response.StatusCode == http.StatusInternalServerError && response.Header.Get(cloud.ErrorType) == "" && !strings.HasPrefix(c.path, "/sample/") {
		l.wrong = append(l.wrong, kind+": from the function, and not from a gateway whose account runs too many")
	}
	return reply{response.StatusCode, response.Header.Get("X-Auth-Reason"), body}
}

// A client does one thing after the other, and tries again what was not decided.
type client struct {
	*load
	tb   testing.TB
	draw *rand.Rand
	name string
	made int
}

func (c *client) now() int64 { return c.order.Add(1) }

// until repeats a call until it is decided, as clients do that get 429, 5xx or no reply: with pauses, or those that
// an account at its concurrency turns away would take the machine from those that it serves.
func (c *client) until(request call) (reply, span) {
	s := span{c.now(), never}
	for try := range enough {
		if try > 0 {
			// sleep: the pause of a client that repeats
			time.Sleep(time.Duration(c.draw.IntN(1<<min(try, longest))+1) * time.Millisecond)
		}
		got := c.send(c.tb, request)
		if lost := c.failing.Load() && c.draw.IntN(50) == 0; lost { // on the way to the client
			continue
		}
		if !got.undecided() {
			s.to = c.now()
			return got, s
		}
	}
	c.accuse("%s %s: no answer in %d tries", request.method, request.path, enough)
	return reply{}, s
}

// asRoot is a call of the administrator. key may be "".
func asRoot(method, path, key, body string) call {
	header := http.Header{"Private-Token": {localtest.AdminBearer}}
	if body != "" {
		header.Set("Content-Type", "application/json")
	}
	if key != "" {
		header.Set("Idempotency-Key", key)
	}
	return call{method, path, body, header}
}

func (c *client) account() *loadAccount { return c.accounts[c.draw.IntN(len(c.accounts))] }

// token draws one of the recent ones, or nil.
func (c *client) token() *loadToken {
	a := c.account()
	a.mu.Lock()
	defer a.mu.Unlock()
	some := a.tokens[max(0, len(a.tokens)-recent):]
	if len(some) == 0 {
		return nil
	}
	return some[c.draw.IntN(len(some))]
}

func (a *loadAccount) note(to *[]span, s span) {
	a.mu.Lock()
	defer a.mu.Unlock()
	*to = append(*to, s)
}

// keep takes a new token from its reply, and lets others use it.
func (c *client) keep(a *loadAccount, name string, got reply, s span) {
	var made struct {
		ID    int64
		Token string
	}
	if err := json.Unmarshal(got.body, &made); err != nil || made.Token == "" {
		c.accuse("%s: no token in the reply %d", name, got.status)
		return
	}
	t := &loadToken{tokenHistory{name: name, owner: &a.ownerHistory, made: s}, made.ID, made.Token}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens = append(a.tokens, t)
}

// again repeats an answered request with its key: the reply is the first one.
func (c *client) again(request call, first reply) {
	if c.draw.IntN(4) > 0 {
		return
	}
	if got, _ := c.until(request); got.status != first.status || !bytes.Equal(identity(got), identity(first)) {
		c.accuse("%s %s: %d and another reply to the same key", request.method, request.path, got.status)
	}
}

// identity is what a reply says of which token it is.
func identity(r reply) []byte {
	var made struct {
		ID    int64
		Token string
	}
	_ = json.Unmarshal(r.body, &made)
	return fmt.Appendf(nil, "%d %s", made.ID, made.Token)
}

func (c *client) create() {
	a := c.account()
	c.made++
	name := fmt.Sprintf("%s-%d", c.name, c.made)
	request := asRoot("POST", fmt.Sprintf("/api/v4/users/%d/personal_access_tokens", a.id), name, fmt.Sprintf(`{"name":%q,"scopes":["api"]}`, name))
	got, s := c.until(request)
	switch got.status {
	case http.StatusCreated:
		c.keep(a, name, got, s)
		c.again(request, got)
	case http.StatusUnprocessableEntity:
		a.note(&a.refused, s)
	case 0:
	default:
		c.accuse("create: %d %s", got.status, got.body)
	}
}

func (c *client) rotate(t *loadToken) {
	c.made++
	a := c.ownerOf(t)
	request := asRoot("POST", fmt.Sprintf("/api/v4/personal_access_tokens/%d/rotate", t.id), fmt.Sprintf("%s-%d", c.name, c.made), "")
	got, s := c.until(request)
	switch got.status {
	case http.StatusOK:
		c.keep(a, t.name, got, s)
		a.note(&t.ends, s)
		c.noteAttempt(t, attempt{s, "rotation", true})
		c.again(request, got)
	case http.StatusBadRequest:
		c.noteAttempt(t, attempt{s, "rotation", false})
	case 0:
		a.note(&t.ends, s)
	default:
		c.accuse("rotate: %d %s", got.status, got.body)
	}
}

func (c *client) ownerOf(t *loadToken) *loadAccount {
	for _, a := range c.accounts {
		if t.owner == &a.ownerHistory {
			return a
		}
	}
	panic("a token of nobody")
}

func (c *client) noteAttempt(t *loadToken, a attempt) {
	owner := c.ownerOf(t)
	owner.mu.Lock()
	defer owner.mu.Unlock()
	t.attempts = append(t.attempts, a)
}

// wants makes a call that only one status answers.
func (c *client) wants(status int, request call) span {
	got, s := c.until(request)
	if got.status != status && got.status != 0 {
		c.accuse("%s %s: %d %s", request.method, request.path, got.status, got.body)
		s.to = never
	}
	return s
}

func (c *client) revoke(t *loadToken) {
	c.ownerOf(t).note(&t.ends, c.wants(http.StatusNoContent, asRoot("DELETE", fmt.Sprintf("/api/v4/personal_access_tokens/%d", t.id), "", "")))
}

func (c *client) report(t *loadToken) {
	body := fmt.Sprintf(`{"tokens":[%q],"source":"https://git.example.test"}`, t.bearer)
	c.ownerOf(t).note(&t.ends, c.wants(http.StatusNoContent, call{"POST", "/api/v4/token_leaks", body, http.Header{"Content-Type": {"application/json"}}}))
}

// doors are the places where a bearer can be presented.
var doors = map[string]func(bearer string) call{
	"the authorizer": func(bearer string) call {
		return call{"GET", "/sample/orders", "", http.Header{"Authorization": {"Bearer " + bearer}}}
	},
	"forward-auth": func(bearer string) call {
		return call{"GET", "/auth/nginx", "", http.Header{"Authorization": {"Bearer " + bearer}, "X-Original-Method": {"GET"}, "X-Original-Uri": {"/orders"}}}
	},
	"the API": func(bearer string) call {
		return call{"GET", "/api/v4/personal_access_tokens/self", "", http.Header{"Private-Token": {bearer}}}
	},
}

// check presents a bearer once. Where that is not decided, nothing is known.
func (c *client) check(t *loadToken, door string) (decided bool) {
	s := span{from: c.now()}
	got := c.send(c.tb, doors[door](t.bearer))
	s.to = c.now()
	switch {
	case got.undecided():
		return false
	case got.status == http.StatusOK, got.status == http.StatusUnauthorized, got.status == http.StatusForbidden:
		c.noteAttempt(t, attempt{s, door, got.status == http.StatusOK})
	default:
		c.accuse("%s: %d %s", door, got.status, got.body)
	}
	return true
}

// step does one thing: mostly a check.
func (c *client) step() {
	draw := c.draw.IntN(100)
	a, t := c.account(), c.token()
	path := fmt.Sprintf("/api/v4/users/%d", a.id)
	switch {
	case draw < 10 || t == nil:
		c.create()
	case draw < 18:
		c.rotate(t)
	case draw < 23:
		c.revoke(t)
	case draw < 25:
		c.report(t)
	case draw < 26:
		a.note(&a.sweeps, c.wants(http.StatusNoContent, asRoot("DELETE", path+"/personal_access_tokens", "", "")))
	case draw < 27:
		a.note(&a.blocks, c.wants(http.StatusCreated, asRoot("POST", path+"/block", "", "")))
	case draw < 30:
		a.note(&a.unblocks, c.wants(http.StatusCreated, asRoot("POST", path+"/unblock", "", "")))
	default:
		names := slices.Sorted(maps.Keys(doors))
		c.check(t, names[c.draw.IntN(len(names))])
	}
}

// list compares what Latchkey lists for an account with what it has answered.
func (c *client) list(a *loadAccount) {
	listed := map[int64]string{}
	for page := 1; ; page++ {
		got, _ := c.until(asRoot("GET", fmt.Sprintf("/api/v4/personal_access_tokens?user_id=%d&per_page=100&page=%d", a.id, page), "", ""))
		var tokens []struct {
			ID   int64
			Name string
		}
		if err := json.Unmarshal(got.body, &tokens); err != nil {
			c.accuse("list: %d %s", got.status, got.body)
			return
		}
		for _, t := range tokens {
			listed[t.ID] = t.Name
		}
		if len(tokens) == 0 {
			break
		}
	}
	for _, t := range a.tokens {
		if listed[t.id] != t.name {
			c.accuse("%s of %s is lost: the list has %q", t.name, a.name, listed[t.id])
		}
		delete(listed, t.id)
	}
	for id, name := range listed {
		c.accuse("token %d of %s, called %q, was made and nobody was told", id, a.name, name)
	}
}

// Breaks if Latchkey gives a wrong answer under load: if a token passes a check that began after its end was
// answered, if a good token is refused, if an answered token is lost or made twice, or if a client gets an
// error that no repetition ends.
func TestLoad(t *testing.T) {
	t.Parallel()
	t.Logf("-clients %d -seconds %d -seed %d", *clients, *seconds, *seed)
	l := &load{
		transport: &http.Transport{MaxIdleConnsPerHost: *clients}, engine: rand.New(rand.NewPCG(*seed, 0)), replies: map[string]int{},
	}
	t.Cleanup(l.transport.CloseIdleConnections)
	through := localtest.Client(t)
	l.world = localtest.Start(t, localtest.Options{
		Client: func(options ...func(*dynamodb.Options)) *dynamodb.Client {
			return through(append(options, func(o *dynamodb.Options) {
				o.Retryer = retry.AddWithMaxBackoffDelay(o.Retryer, time.Millisecond)
				o.HTTPClient = faultyClient{o.HTTPClient, l}
			})...)
		},
		// Each is reached now and then. All clients have one address and one administrator.
		Parameters:  map[string]string{"WrongBearersPerMinute": "900", "CreationsPerMinute": "600", "LeakReportsPerMinute": "60"},
		Concurrency: max(*clients*19/20, 2),
	})
	setUp := &client{load: l, tb: t, draw: rand.New(rand.NewPCG(*seed, 1)), name: "set-up"}
	for n := range max(*clients/4, 2) {
		a := &loadAccount{}
		a.name = fmt.Sprintf("user-%d", n)
		got, _ := setUp.until(asRoot("POST", "/api/v4/users", "", fmt.Sprintf(`{"username":%q,"name":%q,"email":"%s@example.test","force_random_password":true}`, a.name, a.name, a.name)))
		var user struct{ ID int64 }
		if err := json.Unmarshal(got.body, &user); err != nil || user.ID == 0 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		a.id = user.ID
		l.accounts = append(l.accounts, a)
	}

	l.failing.Store(true)
	watch := clock.StartStopwatch()
	var running sync.WaitGroup
	for n := range *clients {
		running.Go(func() {
			c := &client{load: l, tb: t, draw: rand.New(rand.NewPCG(*seed, uint64(n+2))), name: fmt.Sprintf("client-%d", n)}
			for step := 0; *seconds == 0 && step < 30 || watch.Elapsed() < time.Duration(*seconds)*time.Second; step++ {
				c.step()
			}
		})
	}
	running.Wait()
	took := watch.Elapsed()
	l.failing.Store(false)

	tokens, decided := l.settle(setUp)
	t.Logf("%d requests in %v, %d tokens, %d checks and rotations decided", l.requests, took.Round(time.Millisecond), len(tokens), decided)
	for _, kind := range slices.SortedFunc(maps.Keys(l.replies), func(a, b string) int { return cmp.Or(l.replies[b]-l.replies[a], strings.Compare(a, b)) }) {
		t.Logf("%7d  %s", l.replies[kind], kind)
	}
	owners := make([]*ownerHistory, len(l.accounts))
	for i, a := range l.accounts {
		owners[i] = &a.ownerHistory
	}
	l.wrong = append(l.wrong, faults(tokens, owners)...)
	if len(tokens) == 0 || decided == 0 {
		t.Error("nothing was tried")
	}
	const shown = 20
	for _, wrong := range l.wrong[:min(len(l.wrong), shown)] {
		t.Error(wrong)
	}
	if len(l.wrong) > shown {
		t.Errorf("and %d more", len(l.wrong)-shown)
	}
}

// settle looks at everything once more when all is quiet, and returns all tokens and how many of their
// attempts were decided.
func (l *load) settle(c *client) (tokens []*tokenHistory, decided int) {
	for _, a := range l.accounts {
		a.note(&a.unblocks, c.wants(http.StatusCreated, asRoot("POST", fmt.Sprintf("/api/v4/users/%d/unblock", a.id), "", "")))
		c.list(a)
		for _, t := range a.tokens {
			if !c.check(t, "the authorizer") {
				c.accuse("%s of %s: no answer although all is quiet", t.name, a.name)
			}
			tokens = append(tokens, &t.tokenHistory)
			decided += len(t.attempts)
		}
	}
	return tokens, decided
}
