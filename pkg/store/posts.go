package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/secret"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

// Post: POST#<box>#<shard> / <recipient, 10 digits>#<token, 16 digits>
//
// The shard is that of the recipient's own tokens in the expiry index, so that a scan reads both in
// the same order. Posts are kept like the progress of their scan, in case that mails are switched
// off before they are sent.

func postKey(box sweep.Box, shard int, to account.ID, id token.ID) key {
	return keyOf(postPartition(box, shard), fmt.Sprintf("%010d#%016d", int64(to), int64(id)))
}

func postPartition(box sweep.Box, shard int) string { return fmt.Sprintf("POST#%s#%02d", box, shard) }

// Post keeps that a person is still to be told about a token.
func (t *Table) Post(ctx context.Context, box sweep.Box, p sweep.Post, now time.Time) error {
	it := postKey(box, shardOf(p.To, t.opts.Shards), p.To, p.Token)
	it["digest"] = text(p.Digest.Key())
	it["kind"] = text(string(p.Kind))
	it["expires_on"] = text(p.ExpiresOn.String())
	it["delete_after"] = epoch(now.Add(progressLife))
	_, err := t.posts.PutItem(ctx, &dynamodb.PutItemInput{TableName: &t.name, Item: it})
	if err != nil {
		return translate(err)
	}
	return nil
}

// Unpost removes a post from the shard in which it was found.
func (t *Table) Unpost(ctx context.Context, box sweep.Box, shard int, p sweep.Post) error {
	_, err := t.posts.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.name, Key: postKey(box, shard, p.To, p.Token)})
	if err != nil {
		return translate(err)
	}
	return nil
}

// Posted returns a page of the posts of a box in one shard.
func (t *Reader) Posted(ctx context.Context, q sweep.PostQuery) (sweep.PostPage, error) {
	partition := postPartition(q.Box, q.Shard)
	in := &dynamodb.QueryInput{
		TableName:                 &t.name,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("pk = :box AND sk > :after"),
		ExpressionAttributeValues: item{":box": text(partition), ":after": text(afterOwner(q.After))},
		Limit:                     aws.Int32(duePage),
	}
	if q.Next != "" {
		in.ExclusiveStartKey = keyOf(partition, q.Next)
	}
	out, err := t.client.Query(ctx, in)
	if err != nil {
		return sweep.PostPage{}, translate(err)
	}
	page := sweep.PostPage{Posts: make([]sweep.Post, 0, len(out.Items))}
	for _, it := range out.Items {
		p, err := readPost(it)
		if err != nil {
			page.Malformed++
			continue
		}
		page.Posts = append(page.Posts, p)
	}
	if last := out.LastEvaluatedKey; last != nil {
		r := attributes{item: last}
		page.Next, err = r.text("sk"), r.err
	}
	return page, err
}

func readPost(it item) (sweep.Post, error) {
	r := attributes{item: it}
	to, id, _ := strings.Cut(r.text("sk"), "#")
	recipient, errTo := strconv.ParseInt(to, 10, 64)
	tok, errID := strconv.ParseInt(id, 10, 64)
	if errTo != nil || errID != nil {
		r.fault("sk")
	}
	p := sweep.Post{
		To: account.ID(recipient), Token: token.ID(tok), Digest: secret.DigestFromKey(r.text("digest")), Kind: sweep.Kind(r.text("kind")),
	}
	if on := r.text("expires_on"); on != never {
		day, err := clock.ParseDay(on)
		if err != nil {
			r.fault("expires_on")
		}
		p.ExpiresOn = day
	}
	return p, r.err
}
