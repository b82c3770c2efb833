package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
	"latchkey/pkg/secret"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

// duePage is how many index entries one request reads.
const duePage = 500

// Due returns due tokens from the expiry index, which lags behind the records and holds only their
// keys and marks. Its cost grows with the number of due tokens and not with the table.
func (t *Reader) Due(ctx context.Context, q sweep.Query) (sweep.Page, error) {
	bucket := bucketOf(q.Day, q.Shard)
	if q.Bots {
		bucket = removalBucket(q.Day, q.Shard)
	}
	in := &dynamodb.QueryInput{
		TableName:                 &t.name,
		IndexName:                 aws.String("expiry-index"),
		KeyConditionExpression:    aws.String("expiry_bucket = :bucket AND expiry_order > :after"),
		ExpressionAttributeValues: item{":bucket": text(bucket), ":after": text(afterOwner(q.After))},
		Limit:                     aws.Int32(duePage),
	}
	if q.Without != "" {
		in.FilterExpression = aws.String("attribute_not_exists(notices) OR NOT contains(notices, :mark)")
		in.ExpressionAttributeValues[":mark"] = text(q.Without)
	}
	if q.Next != "" {
		start, err := decodeKey(q.Next)
		if err != nil {
			return sweep.Page{}, err
		}
		start["expiry_bucket"] = text(bucket)
		in.ExclusiveStartKey = start
	}
	out, err := t.client.Query(ctx, in)
	if err != nil {
		return sweep.Page{}, translate(err)
	}
	next, err := encodeKey(out.LastEvaluatedKey)
	if err != nil {
		return sweep.Page{}, err
	}
	page := sweep.Page{Entries: make([]sweep.Entry, 0, len(out.Items)), Next: next}
	for _, it := range out.Items {
		entry, err := readEntry(it)
		if err != nil {
			page.Malformed++
			continue
		}
		page.Entries = append(page.Entries, entry)
	}
	return page, nil
}

// afterOwner sorts after all entries of an owner, because ids consist of digits.
func afterOwner(owner account.ID) string { return fmt.Sprintf("%010d#~", int64(owner)) }

// encodeKey encodes the end of a page without SDK types.
func encodeKey(last key) (string, error) {
	if len(last) == 0 {
		return "", nil
	}
	r := attributes{item: last}
	parts := []string{r.text("expiry_order"), r.text("pk"), r.text("sk")}
	raw, err := json.Marshal(parts) // malformed entries may have any parts
	return string(raw), errors.Join(r.err, err)
}

func decodeKey(next string) (key, error) {
	var parts [3]string
	if err := json.Unmarshal([]byte(next), &parts); err != nil {
		return nil, fmt.Errorf("%w: place in the expiry index", fault.ErrCorrupt)
	}
	return key{"expiry_order": text(parts[0]), "pk": text(parts[1]), "sk": text(parts[2])}, nil
}

func readEntry(it item) (sweep.Entry, error) {
	r := attributes{item: it}
	owner, id, _ := strings.Cut(r.text("expiry_order"), "#")
	n, err := strconv.ParseInt(id, 10, 64)
	digest, record := strings.CutPrefix(r.text("pk"), tokenPrefix)
	entry := sweep.Entry{ID: token.ID(n), Digest: secret.DigestFromKey(digest)}
	if err != nil || expiryOrder(entry.ID) != owner+"#"+id {
		r.fault("expiry_order")
	}
	if !record || digest == "" {
		r.fault("pk")
	}
	return entry, r.err
}

// Tokens passes the records of digests to each, malformed ones with their error.
func (t *Reader) Tokens(ctx context.Context, digests []secret.Digest, each func(token.Token, error)) error {
	keys := make([]key, len(digests))
	for i, digest := range digests {
		keys[i] = tokenKey(digest)
	}
	items, err := t.getBatch(ctx, keys)
	if err != nil {
		return err
	}
	for _, it := range items {
		tok, err := readToken(it)
		if err != nil {
			r := attributes{item: it}
			tok.Digest = secret.DigestFromKey(strings.TrimPrefix(r.text("pk"), tokenPrefix))
		}
		each(tok, err)
	}
	return nil
}

// Owners passes the profiles of ids to each, malformed ones with their error.
func (t *Reader) Owners(ctx context.Context, ids []account.ID, each func(account.Account, error)) error {
	keys := make([]key, len(ids))
	for i, id := range ids {
		keys[i] = profileKey(id)
	}
	items, err := t.getBatch(ctx, keys)
	if err != nil {
		return err
	}
	for _, it := range items {
		acct, err := readProfile(it)
		if err != nil {
			r := attributes{item: it}
			// The key holds one of ids even if the profile is malformed.
			acct.ID, _ = account.ParseID(strings.TrimPrefix(r.text("pk"), "USER#"))
		}
		each(acct, err)
	}
	return nil
}

// Mark records that a mail about a token was sent. An expired token then leaves the expiry index,
// because there is nothing more to announce. A bot's token moves to the day on which the bot is
// removed, after the retention; later changes of the retention do not move it.
func (t *Table) Mark(ctx context.Context, tok token.Token, mark string, now time.Time) error {
	expression, condition := "ADD notices :mark", "attribute_exists(pk)"
	values := item{":mark": &types.AttributeValueMemberSS{Value: []string{mark}}}
	switch {
	case mark != string(sweep.Expired):
	case tok.Kind.OfProject():
		t = t.retaining(ctx, now)
		expression += " SET expiry_bucket = :bucket, expiry_order = :order"
		// A revoked token has left the index for good, and its bot may have another token.
		condition += " AND attribute_not_exists(revoked_at)"
		values[":bucket"] = text(removalBucket(clock.DayOf(tok.ExpiresOn.Start().Add(t.opts.Retention)), shardOf(tok.Owner, t.opts.Shards)))
		values[":order"] = text(expiryOrder(tok.ID))
	default:
		expression += " REMOVE expiry_bucket, expiry_order"
	}
	return t.tryWrite(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &t.name,
		Key:                       tokenKey(tok.Digest),
		UpdateExpression:          &expression,
		ConditionExpression:       &condition,
		ExpressionAttributeValues: values,
	})
}
