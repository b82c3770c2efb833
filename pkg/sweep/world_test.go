package sweep_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/audit"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/secret"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

// today is the day that most scans are for, and atOne when its expiring scan starts.
var (
	today = day("2031-05-07")
	atOne = today.Start().Add(time.Hour)
)

func day(s string) clock.Day {
	d, err := clock.ParseDay(s)
	if err != nil {
		panic(err)
	}
	return d
}

// A world is everything that a scanner talks to, in memory: index, records, ledger, mailer. It can
// be told to fail at any call, and to stay dead from there on. Its clock runs with the time of a
// synctest bubble.
type world struct {
	mu      sync.Mutex
	started time.Time // of the bubble
	now     time.Time // when the world was made
	tokens  map[secret.Digest]token.Token
	accts   map[account.ID]account.Account
	entries []indexed
	// What there is to work on, and who does.
	projects map[project.ID]project.Project
	members  []project.Member
	// revocations are how often a run has revoked a token, and trail their events.
	revocations map[token.ID]int
	trail       []audit.Event
	limitDays   int // of a lifetime run, which is planned for limitFrom
	limitFrom   time.Time
	lastID      account.ID
	pageSize    int
	lagging     bool // the index does not learn of marks
	oneShard    bool // everybody is in shard 0, so that the order of mails is known
	keep        int  // days that a bot stays after its token's expiry

	jobs     map[sweep.Job]sweep.Progress
	leases   map[scanOf]leased
	finished map[scanOf]clock.Day

	boxes map[sweep.Box][]sweep.Post
	taken map[account.ID]int // mails of the day about tokens of projects

	mails   []sweep.Notice
	sending func(sweep.Notice) error // before a mail is accepted
	sent    func(sweep.Notice) error // after it was
	rate    func() (float64, error)

	calls  int
	events []string // calls in order
	fail   func(call string) error
	after  func(call string) error // instead of the reply, when the work is done
	dead   bool

	refuseMark   func(mark string) error  // before a mark is written
	refuseUnpost func(p sweep.Post) error // before a post is removed
}

type indexed struct {
	day     clock.Day
	bots    bool // the day is that of a bot's removal
	entry   sweep.Entry
	broken  bool
	notices []string
}

type scanOf struct {
	kind  sweep.Kind
	shard int
}

type leased struct {
	holder string
	until  time.Time
}

func newWorld() *world {
	return &world{
		started: time.Now(), now: atOne, pageSize: 100, keep: 90,
		tokens: map[secret.Digest]token.Token{}, accts: map[account.ID]account.Account{}, projects: map[project.ID]project.Project{},
		revocations: map[token.ID]int{}, limitDays: limitDays, limitFrom: atOne,
		boxes: map[sweep.Box][]sweep.Post{}, taken: map[account.ID]int{},
		jobs: map[sweep.Job]sweep.Progress{}, leases: map[scanOf]leased{}, finished: map[scanOf]clock.Day{},
	}
}

// Now implements clock.Clock.
func (w *world) Now() time.Time { return w.now.Add(time.Since(w.started)).Truncate(time.Second) }

const (
	shards    = 4
	limitDays = 30
	// dailyMails is how many mails about tokens of projects a person gets in a day.
	dailyMails = 10
)

// inWorld runs a test in a bubble, with a world of its own.
func inWorld(t *testing.T, test func(*testing.T, *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(t, newWorld()) })
}

// eachWorld runs a case in a bubble, with a world of its own.
func eachWorld(t *testing.T, name string, test func(*testing.T, *world)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { inWorld(t, test) })
}

func (w *world) scanner(kind sweep.Kind, changes ...func(*sweep.Setup)) *sweep.Scanner {
	setup := sweep.Setup{
		Kind: kind, Records: w, Projects: w, Ledger: w, Mailer: w, Clock: w, Index: w, Revoker: w, Enforcement: w, Limits: w, Accounts: w,
		Posts: w, Allowance: w, DailyMails: dailyMails, Days: sweep.Days{7}, Shards: shards, Concurrency: 1, Workers: 3, Malformed: func(error) {},
	}
	for _, change := range changes {
		change(&setup)
	}
	s, err := sweep.NewScanner(setup)
	if err != nil {
		panic(err)
	}
	return s
}

// run scans all shards at atOne of today, or as changed.
func (w *world) run(t *testing.T, kind sweep.Kind, changes ...func(*sweep.Setup)) (sweep.Result, error) {
	t.Helper()
	return w.runAt(t, kind, sweep.Event{Time: atOne}, changes...)
}

// runAt runs a scan with an event.
func (w *world) runAt(t *testing.T, kind sweep.Kind, e sweep.Event, changes ...func(*sweep.Setup)) (sweep.Result, error) {
	t.Helper()
	return w.scanner(kind, changes...).Run(t.Context(), t.Context(), e)
}

// wantRun runs a scan that must be done without an error.
func (w *world) wantRun(t *testing.T, kind sweep.Kind, changes ...func(*sweep.Setup)) sweep.Counts {
	t.Helper()
	result, err := w.run(t, kind, changes...)
	if err != nil || !result.Done {
		t.Fatalf("run: done %v, %v", result.Done, err)
	}
	return result.Counts
}

func (w *world) addAccount(id account.ID, changes ...func(*account.Account)) {
	u := account.Account{
		ID: id, Username: "user" + id.String(), Name: "User " + id.String(), Email: "user" + id.String() + "@example.com",
		State: account.Active, NextNumber: 1,
	}
	for _, change := range changes {
		change(&u)
	}
	w.accts[id], w.lastID = u, max(w.lastID, id)
}

// add puts a token of owner into records and index, and its owner when there is none.
func (w *world) add(owner account.ID, on clock.Day, changes ...func(*token.Token)) token.ID {
	if _, there := w.accts[owner]; !there {
		w.addAccount(owner)
	}
	u := w.accts[owner]
	id, err := token.NewID(owner, u.NextNumber)
	if err != nil {
		panic(err)
	}
	u.NextNumber++
	w.accts[owner] = u
	tok := token.Token{
		ID: id, Kind: token.Personal, Owner: owner, Name: "token " + id.String(), Scopes: scope.Set{scope.API},
		ExpiresOn: on, Family: id, Digest: secret.DigestFromKey("digest-" + id.String()),
	}
	entry := indexed{day: on, entry: sweep.Entry{ID: id, Digest: tok.Digest}}
	for _, change := range changes {
		change(&tok)
	}
	entry.notices = tok.Notices
	w.tokens[tok.Digest] = tok
	at, _ := slices.BinarySearchFunc(w.entries, id, func(e indexed, id token.ID) int { return cmp.Compare(e.entry.ID, id) })
	w.entries = slices.Insert(w.entries, at, entry)
	return id
}

func (w *world) change(id token.ID, change func(*token.Token)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	tok := w.tokens[digestOf(id)]
	change(&tok)
	w.tokens[digestOf(id)] = tok
}

func (w *world) changeAccount(id account.ID, change func(*account.Account)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	u := w.accts[id]
	change(&u)
	w.accts[id] = u
}

func digestOf(id token.ID) secret.Digest { return secret.DigestFromKey("digest-" + id.String()) }

func (w *world) shardOf(id account.ID) int {
	if w.oneShard {
		return 0
	}
	return int(id) % shards
}

// marks returns the marks on a token.
func (w *world) marks(id token.ID) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tokens[digestOf(id)].Notices
}

// told returns how often each token was in a mail; a mail that counts more than it lists tells of
// none of the others.
func (w *world) told() map[token.ID]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := map[token.ID]int{}
	for _, n := range w.mails {
		for _, tok := range n.Tokens {
			told[tok.ID]++
		}
	}
	return told
}

// mailsTo returns how many mails each owner got.
func (w *world) mailsTo() map[account.ID]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	mails := map[account.ID]int{}
	for _, n := range w.mails {
		mails[n.Recipient.ID]++
	}
	return mails
}

var errDead = fmt.Errorf("%w: dead", fault.ErrUnavailable)

// call does what stands for one request: work runs with the lock held.
func (w *world) call(name string, work func()) error {
	if err := w.before(name); err != nil {
		return err
	}
	w.mu.Lock()
	work()
	after := w.after
	w.mu.Unlock()
	if after != nil {
		return after(name)
	}
	return nil
}

func (w *world) before(name string) error {
	w.mu.Lock()
	w.calls++
	w.events = append(w.events, name)
	fail, dead := w.fail, w.dead
	w.mu.Unlock()
	if dead {
		return errDead
	}
	if fail != nil {
		return fail(name)
	}
	return nil
}

// dieAtCall makes the n-th call fail, before or after it takes effect, and every one behind it.
func (w *world) dieAtCall(n int, after bool) {
	die := func(string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.calls >= n {
			w.dead = true
			return errDead
		}
		return nil
	}
	if after {
		w.after = die
	} else {
		w.fail = die
	}
}

func (w *world) revive() { w.fail, w.after, w.dead = nil, nil, false }

// failing refuses the calls of one name.
func failing(call string, err error) func(string) error {
	return func(name string) error {
		if name == call {
			return err
		}
		return nil
	}
}

// count returns how many calls of a name there were.
func (w *world) count(name string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, event := range w.events {
		if event == name {
			n++
		}
	}
	return n
}

// Due implements sweep.Index. Like DynamoDB it filters after it has cut a page, so pages may be
// empty in the middle.
func (w *world) Due(_ context.Context, q sweep.Query) (page sweep.Page, err error) {
	err = w.call("Due", func() {
		var all []indexed
		for _, e := range w.entries {
			owner := e.entry.ID.Owner()
			if e.day == q.Day && e.bots == q.Bots && w.shardOf(owner) == q.Shard && owner > q.After {
				all = append(all, e)
			}
		}
		start := 0
		if q.Next != "" { // after that token, as entries may have left meanwhile
			last, _ := strconv.ParseInt(q.Next, 10, 64)
			start, _ = slices.BinarySearchFunc(all, token.ID(last)+1, func(e indexed, id token.ID) int { return cmp.Compare(e.entry.ID, id) })
		}
		end := min(start+w.pageSize, len(all))
		if end < len(all) {
			page.Next = all[end-1].entry.ID.String()
		}
		for _, e := range all[start:end] {
			switch {
			case q.Without != "" && slices.Contains(e.notices, q.Without):
			case e.broken:
				page.Malformed++
			default:
				page.Entries = append(page.Entries, e.entry)
			}
		}
	})
	return page, err
}

func keysOf(digests []secret.Digest) []string {
	keys := make([]string, len(digests))
	for i, digest := range digests {
		keys[i] = digest.Key()
	}
	return keys
}

// Tokens implements sweep.Records. A token without an owner cannot be read.
func (w *world) Tokens(_ context.Context, digests []secret.Digest, each func(token.Token, error)) error {
	var found []token.Token
	if twice := slices.Sorted(slices.Values(keysOf(digests))); len(slices.Compact(twice)) < len(digests) {
		return errors.New("the same key twice, which BatchGetItem refuses")
	}
	err := w.call("Tokens", func() {
		for _, digest := range digests {
			if tok, there := w.tokens[digest]; there {
				found = append(found, tok)
			}
		}
	})
	if err != nil {
		return err
	}
	for _, tok := range found {
		if tok.Owner == 0 {
			each(token.Token{Digest: tok.Digest}, fault.ErrCorrupt)
			continue
		}
		each(tok, nil)
	}
	return nil
}

// Owners implements sweep.Records. An account without a username cannot be read.
func (w *world) Owners(_ context.Context, ids []account.ID, each func(account.Account, error)) error {
	var found []account.Account
	err := w.call("Owners", func() {
		for _, id := range ids {
			if u, there := w.accts[id]; there {
				found = append(found, u)
			}
		}
	})
	if err != nil {
		return err
	}
	for _, u := range found {
		if u.Username == "" {
			each(account.Account{ID: u.ID}, fault.ErrCorrupt)
			continue
		}
		each(u, nil)
	}
	return nil
}

// Project implements sweep.Projects. A project without an id cannot be read.
func (w *world) Project(_ context.Context, id project.ID) (proj project.Project, err error) {
	failed := w.call("Project", func() {
		var there bool
		proj, there = w.projects[id]
		switch {
		case !there:
			err = fault.ErrNotFound
		case proj.ID == 0:
			proj, err = project.Project{}, fault.ErrCorrupt
		}
	})
	return proj, cmp.Or(failed, err)
}

// MembersIn implements sweep.Projects. A member without a user cannot be read.
func (w *world) MembersIn(_ context.Context, projects []project.ID, each func(project.Member, error)) error {
	var found []project.Member
	err := w.call("MembersIn", func() {
		for _, m := range w.members {
			if slices.Contains(projects, m.Project) {
				found = append(found, m)
			}
		}
	})
	if err != nil {
		return err
	}
	for _, m := range found {
		if m.Account == 0 {
			each(project.Member{}, fault.ErrCorrupt)
			continue
		}
		each(m, nil)
	}
	return nil
}

// Mark implements sweep.Records.
func (w *world) Mark(ctx context.Context, t token.Token, mark string, _ time.Time) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
	}
	if w.refuseMark != nil {
		if err := w.refuseMark(mark); err != nil {
			return err
		}
	}
	return w.call("Mark", func() {
		digest := t.Digest
		tok, there := w.tokens[digest]
		if !there || slices.Contains(tok.Notices, mark) || mark == "expired" && t.Kind.OfProject() && !tok.RevokedAt.IsZero() {
			return
		}
		tok.Notices = append(slices.Clone(tok.Notices), mark)
		w.tokens[digest] = tok
		for i, e := range w.entries {
			if e.entry.Digest != digest || w.lagging {
				continue
			}
			w.entries[i].notices = tok.Notices
			if mark == "expired" && t.Kind.OfProject() {
				w.entries[i].day, w.entries[i].bots = t.ExpiresOn.AddDays(w.keep), true
			}
		}
	})
}

// RevokeToken implements sweep.Revoker.
func (w *world) RevokeToken(ctx context.Context, revoked token.Token, event audit.Event) (err error) {
	failed := w.call("RevokeToken", func() {
		tok, there := w.tokens[revoked.Digest]
		switch {
		case !there:
			err = fault.ErrNotFound
		case tok.RevokedAt.IsZero():
			w.revocations[tok.ID]++
			w.trail = append(w.trail, event)
			tok.RevokedAt, tok.RevokedReason = revoked.RevokedAt, revoked.RevokedReason
			w.tokens[revoked.Digest] = tok
			if !w.lagging {
				w.entries = slices.DeleteFunc(w.entries, func(e indexed) bool { return e.entry.Digest == revoked.Digest })
			}
			if tok.Kind.OfProject() {
				w.members = slices.DeleteFunc(w.members, func(m project.Member) bool { return m.Account == tok.Owner })
				delete(w.accts, tok.Owner)
			}
		}
	})
	return cmp.Or(failed, err)
}

// ExpiryIgnored implements sweep.Enforcement.
func (w *world) ExpiryIgnored(context.Context) (bool, error) {
	return false, w.call("ExpiryIgnored", func() {})
}

// LifetimeRun implements sweep.Limits.
func (w *world) LifetimeRun(context.Context) (days int, from time.Time, err error) {
	err = w.call("LifetimeRun", func() { days, from = w.limitDays, w.limitFrom })
	return days, from, err
}

// LastAccountID implements sweep.Accounts.
func (w *world) LastAccountID(context.Context) (last account.ID, err error) {
	err = w.call("LastAccountID", func() { last = w.lastID })
	return last, err
}

// PageOfTokens implements sweep.Accounts.
func (w *world) PageOfTokens(_ context.Context, owner account.ID, page string) (tokens []token.Token, next string, err error) {
	err = w.call("PageOfTokens", func() {
		start, _ := strconv.Atoi(page)
		for n := start + 1; ; n++ { // numbers have no gaps
			id, err := token.NewID(owner, int64(n))
			if err != nil {
				panic(err)
			}
			tok, there := w.tokens[digestOf(id)]
			switch {
			case !there:
				return
			case len(tokens) == w.pageSize:
				next = strconv.Itoa(n - 1)
				return
			}
			tokens = append(tokens, tok)
		}
	})
	return tokens, next, err
}

// Acquire implements sweep.Ledger.
func (w *world) Acquire(_ context.Context, job sweep.Job, holder string, now, until time.Time) (p sweep.Progress, err error) {
	failed := w.call("Acquire", func() {
		p = w.jobs[job]
		lease, held := w.leases[scanOf{job.Kind, job.Shard}]
		switch {
		case p.Done:
		case held && lease.holder != holder && now.Before(lease.until):
			p, err = sweep.Progress{}, sweep.ErrLeased
		default:
			w.leases[scanOf{job.Kind, job.Shard}] = leased{holder, until}
		}
	})
	return p, cmp.Or(failed, err)
}

// Save implements sweep.Ledger.
func (w *world) Save(_ context.Context, job sweep.Job, holder string, p sweep.Progress, until time.Time) (err error) {
	failed := w.call("Save", func() {
		scan := scanOf{job.Kind, job.Shard}
		if w.leases[scan].holder != holder {
			err = sweep.ErrLeaseLost
			return
		}
		w.jobs[job] = p
		if p.Done || until.IsZero() {
			delete(w.leases, scan)
		} else {
			w.leases[scan] = leased{holder, until}
		}
	})
	return cmp.Or(failed, err)
}

// Begun implements sweep.Ledger.
func (w *world) Begun(_ context.Context, job sweep.Job) (begun bool, err error) {
	err = w.call("Begun", func() { _, begun = w.jobs[job] })
	return begun, err
}

// Finished implements sweep.Ledger.
func (w *world) Finished(_ context.Context, kind sweep.Kind, shard int) (d clock.Day, err error) {
	failed := w.call("Finished", func() {
		var there bool
		if d, there = w.finished[scanOf{kind, shard}]; !there {
			err = fault.ErrNotFound
		}
	})
	return d, cmp.Or(failed, err)
}

// SetFinished implements sweep.Ledger.
func (w *world) SetFinished(_ context.Context, job sweep.Job) error {
	return w.call("SetFinished", func() {
		scan := scanOf{job.Kind, job.Shard}
		if last := w.finished[scan]; last.IsZero() || job.Day.After(last) {
			w.finished[scan] = job.Day
		}
	})
}

// Post implements sweep.Posts.
func (w *world) Post(_ context.Context, box sweep.Box, p sweep.Post, _ time.Time) error {
	return w.call("Post", func() {
		w.boxes[box] = slices.DeleteFunc(w.boxes[box], samePost(p))
		w.boxes[box] = append(w.boxes[box], p)
		slices.SortFunc(w.boxes[box], func(a, b sweep.Post) int { return cmp.Or(cmp.Compare(a.To, b.To), cmp.Compare(a.Token, b.Token)) })
	})
}

// Unpost implements sweep.Posts.
func (w *world) Unpost(ctx context.Context, box sweep.Box, _ int, p sweep.Post) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
	}
	if w.refuseUnpost != nil {
		if err := w.refuseUnpost(p); err != nil {
			return err
		}
	}
	return w.call("Unpost", func() { w.boxes[box] = slices.DeleteFunc(w.boxes[box], samePost(p)) })
}

func samePost(p sweep.Post) func(sweep.Post) bool {
	return func(other sweep.Post) bool { return other.To == p.To && other.Token == p.Token }
}

// Posted implements sweep.Posts.
func (w *world) Posted(_ context.Context, q sweep.PostQuery) (page sweep.PostPage, err error) {
	err = w.call("Posted", func() {
		for _, p := range w.boxes[q.Box] {
			key := fmt.Sprintf("%010d#%016d", p.To, p.Token)
			switch {
			case w.shardOf(p.To) != q.Shard || p.To <= q.After || key <= q.Next:
			case len(page.Posts) == w.pageSize:
				last := page.Posts[w.pageSize-1]
				page.Next = fmt.Sprintf("%010d#%016d", last.To, last.Token)
				return
			default:
				page.Posts = append(page.Posts, p)
			}
		}
	})
	return page, err
}

// boxesOf returns the boxes with a post about a token, to one person or to anybody.
func (w *world) boxesOf(id token.ID, to ...account.ID) (boxes []sweep.Box) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for box, posts := range w.boxes {
		if slices.ContainsFunc(posts, func(p sweep.Post) bool { return p.Token == id && (to == nil || slices.Contains(to, p.To)) }) {
			boxes = append(boxes, box)
		}
	}
	return boxes
}

// posts returns how many posts a box has.
func (w *world) posts(box sweep.Box) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.boxes[box])
}

// TakeMail implements sweep.Allowance. A bubble's tests end within a day.
func (w *world) TakeMail(_ context.Context, to account.ID, _ clock.Day, limit int) (number int, err error) {
	failed := w.call("TakeMail", func() {
		if w.taken[to] >= limit {
			err = sweep.ErrMailLimit
			return
		}
		w.taken[to]++
		number = w.taken[to]
	})
	return number, cmp.Or(failed, err)
}

// Send implements sweep.Mailer.
func (w *world) Send(_ context.Context, n sweep.Notice) error {
	if err := w.before("Send"); err != nil {
		return errors.New(err.Error()) // no request went out, but a mailer cannot know
	}
	if w.sending != nil {
		if err := w.sending(n); err != nil {
			return err
		}
	}
	w.mu.Lock()
	n.Tokens = slices.Clone(n.Tokens)
	w.mails = append(w.mails, n)
	after := w.after
	w.mu.Unlock()
	if w.sent != nil {
		if err := w.sent(n); err != nil {
			return err
		}
	}
	if after != nil {
		if err := after("Send"); err != nil {
			return errors.New(err.Error())
		}
	}
	return nil
}

// Rate implements sweep.Mailer.
func (w *world) Rate(context.Context) (float64, error) {
	if err := w.before("Rate"); err != nil {
		return 0, errors.New(err.Error())
	}
	if w.rate != nil {
		return w.rate()
	}
	return 1000, nil
}

func want[T comparable](t *testing.T, what string, got, wanted T) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s: got %v, want %v", what, got, wanted)
	}
}

func wantErr(t *testing.T, err, wanted error) {
	t.Helper()
	if !errors.Is(err, wanted) {
		t.Fatalf("err = %v, want %v", err, wanted)
	}
}
