package sweep

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/token"
)

// A Post says that one person is still to be told about a token of a bot. A token has several
// managers, and a manager looks after bots of all shards. So a scan first posts the tokens of every
// shard to their managers, and then sends each person one mail about all of them. A post is removed
// when its mail is sent: it is the mark of one recipient.
type Post struct {
	To     account.ID
	Token  token.ID
	Digest secret.Digest
	// Kind says why the person is told.
	Kind Kind
	// ExpiresOn is the announced expiry; no day for never.
	ExpiresOn clock.Day
}

// A Box keeps the posts of one kind of scan, or those that are held back.
type Box string

// Held is the box of posts whose recipients have got all mails of the day about tokens of projects
// and groups. The next Expiring scan tells them.
const Held Box = "held"

// Posts keeps posts, with consistent reads.
type Posts interface {
	// Post adds p to a box at an instant, in place of an earlier post about the same token to the
	// same person.
	Post(ctx context.Context, box Box, p Post, now time.Time) error
	// Unpost removes p from the shard of a box in which Posted found it. The number of shards may
	// have grown since. Absence is no error.
	Unpost(ctx context.Context, box Box, shard int, p Post) error
	// Posted returns a page of a box's posts in a shard of recipients. The shard of a recipient is
	// that of their tokens in the Index.
	Posted(ctx context.Context, q PostQuery) (PostPage, error)
}

// A PostQuery asks for posts of one box and shard.
type PostQuery struct {
	Box   Box
	Shard int
	// After excludes recipients up to and including this one.
	After account.ID
	// Next is the previous page's Next, or "" for the first page.
	Next string
}

// A PostPage is a page of posts, by ascending recipient and token.
type PostPage struct {
	Posts []Post
	// Malformed counts unreadable posts.
	Malformed int
	// Next requests the following page; "" after the last.
	Next string
}

// maxPosts bounds the memory for one person. Further posts stay in their box for the next scan.
const maxPosts = 5000

// posting is the kind of the jobs that post the tokens of a kind of scan.
func posting(kind Kind) Kind { return kind + "-posts" }

// boxes returns the boxes that a kind of scan empties.
func boxes(kind Kind) []Box {
	if kind == Expiring {
		return []Box{Box(kind), Held}
	}
	return []Box{Box(kind)}
}

// posted posts the tokens of job's shard and helps with the other shards. It returns false if a
// shard is not posted yet, because then some mails would be incomplete.
func (r *run) posted(ctx context.Context, job Job, parts func(*attempt, context.Context) iter.Seq[account.ID]) (done bool, err error) {
	job.Kind = posting(r.Kind)
	if done, err := r.do(ctx, job, ErrUnsent, parts); err != nil || !done {
		return false, err
	}
	done = true
	for n := 1; n < r.Shards; n++ {
		other := job
		other.Shard = (job.Shard + n) % r.Shards
		if finished, err := r.finished(ctx, other); err != nil {
			return false, err
		} else if finished {
			continue
		}
		if r.stopped() {
			return false, nil
		}
		finished, err := r.do(ctx, other, ErrUnsent, parts)
		if err != nil {
			return false, fmt.Errorf("shard %d: %w", other.Shard, err)
		}
		done = done && finished
	}
	return done, nil
}

// finished reports whether a posting job of a daily scan is finished, with one request.
func (r *run) finished(ctx context.Context, job Job) (bool, error) {
	if !job.At.IsZero() {
		return false, nil // may run several times a day, so only its progress says it
	}
	last, err := r.Ledger.Finished(ctx, job.Kind, job.Shard)
	if errors.Is(err, fault.ErrNotFound) {
		return false, nil
	}
	return err == nil && !job.Day.After(last), err
}

// postDue posts the due tokens of bots, batch by batch.
func (a *attempt) postDue(ctx context.Context) iter.Seq[account.ID] {
	return func(yield func(account.ID) bool) {
		window, err := a.window(ctx)
		if err != nil {
			a.stop(err)
			return
		}
		a.inBatches(ctx, a.due(ctx, a.dueOn(window)), a.postBots)(yield)
	}
}

// postBots posts the tokens of those holdings in a batch that belong to bots.
func (a *attempt) postBots(ctx context.Context, batch []holding) {
	ids := make([]account.ID, len(batch))
	for i, h := range batch {
		ids[i] = h.owner.ID
	}
	bots := map[account.ID]bool{}
	err := a.Records.Owners(ctx, ids, func(owner account.Account, _ error) { bots[owner.ID] = owner.Bot })
	if err != nil {
		a.stop(err)
		return
	}
	var ofBots []holding
	for _, h := range batch {
		if bots[h.owner.ID] {
			ofBots = append(ofBots, h)
		}
	}
	if len(ofBots) > 0 {
		a.each(ctx, ofBots, a.post)
	}
}

// post posts the tokens of one owner to the people who are to be told, and marks them. A post may be
// written again until the job is done, because no mail is sent before.
func (a *attempt) post(ctx context.Context, h holding) (Counts, error) {
	var counts Counts
	p := a.sort(h, &counts)
	if len(p.dues) > 0 {
		to, err := a.recipientsOf(ctx, p.holding)
		switch {
		case err != nil:
			return counts, err
		case to.none == malformed:
			counts.skip(malformed, len(p.dues))
			p.dues = nil
		}
		if !a.leased() {
			return counts, ErrLeaseLost
		}
		var posts []Post
		for _, d := range p.dues {
			for _, person := range to.people {
				posts = append(posts, Post{To: person.ID, Token: d.ID, Digest: d.Digest, Kind: d.kind, ExpiresOn: d.slot.day})
			}
		}
		err = parallel(markers, posts, func(p Post) error { return a.Posts.Post(ctx, Box(a.Kind), p, a.Clock.Now()) })
		if err != nil {
			return counts, fmt.Errorf("post tokens of owner %s: %w", h.owner.ID, err)
		}
		counts.skip(to.none, len(p.dues))
	}
	counts.Due = len(p.dues)
	return counts, a.settle(ctx, append(p.silent, p.dues...), &counts)
}

// postedIn returns the streams of the boxes that this scan empties.
func (a *attempt) postedIn(after account.ID) (streams []*stream) {
	for _, box := range boxes(a.Kind) {
		q := PostQuery{Box: box, Shard: a.job.Shard, After: after}
		streams = append(streams, &stream{most: maxPosts, read: func(ctx context.Context, next string) ([]due, string, error) {
			q.Next = next
			page, err := a.Posts.Posted(ctx, q)
			if err != nil {
				return nil, "", err
			}
			a.counts.skip(malformed, page.Malformed)
			dues := make([]due, len(page.Posts))
			for i, p := range page.Posts {
				dues[i] = due{
					Entry: Entry{ID: p.Token, Digest: p.Digest}, slot: slot{day: p.ExpiresOn, mark: string(p.Kind)},
					kind: p.Kind, box: box, holder: p.To,
				}
			}
			return dues, page.Next, nil
		}})
	}
	return streams
}

// post returns the post of a due that comes from a box.
func (d *due) post() Post {
	return Post{To: d.holder, Token: d.ID, Digest: d.Digest, Kind: d.kind, ExpiresOn: d.slot.day}
}
