package store

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/sweep"
	"latchkey/pkg/token"
)

// Scan progress:           SCAN#<kind>#<day> / SHARD#<nn>, of lifetime runs SCAN#<kind>#<instant>
// Lease and last finished: SCAN#<kind> / SHARD#<nn>
//
// The lease covers all days of a kind: a late retry of yesterday's scan covers most of today's
// days, and both would announce the same tokens.

// progressLife is how long the progress of a scan is kept for operators.
const progressLife = 90 * 24 * time.Hour

func jobKey(j sweep.Job) key {
	if !j.At.IsZero() {
		return keyOf(fmt.Sprintf("SCAN#%s#%s", j.Kind, j.At.UTC().Format(time.RFC3339)), shardSort(j.Shard))
	}
	return keyOf(fmt.Sprintf("SCAN#%s#%s", j.Kind, j.Day), shardSort(j.Shard))
}

func scanKey(kind sweep.Kind, shard int) key {
	return keyOf("SCAN#"+string(kind), shardSort(shard))
}

func shardSort(shard int) string { return fmt.Sprintf("SHARD#%02d", shard) }

func countsValue(c sweep.Counts) types.AttributeValue {
	counts := map[string]types.AttributeValue{
		"examined": number(int64(c.Examined)), "due": number(int64(c.Due)), "mails": number(int64(c.Mails)),
		"marked": number(int64(c.Marked)), "failed": number(int64(c.Failed)), "ended": number(int64(c.BotsRemoved)), "revoked": number(int64(c.Revoked)),
	}
	for reason, n := range maps.All(c.Skipped) {
		counts["skipped_"+reason] = number(int64(n))
	}
	return &types.AttributeValueMemberM{Value: counts}
}

// debtsValue encodes a debt to all recipients as its token's id, and a debt to one recipient as
// both ids.
func debtsValue(debts []sweep.Debt) types.AttributeValue {
	list := make([]types.AttributeValue, len(debts))
	for i, d := range debts {
		list[i] = number(int64(d.Token))
		if d.To != 0 {
			list[i] = text(d.Token.String() + "@" + d.To.String())
		}
	}
	return &types.AttributeValueMemberL{Value: list}
}

// readDebts skips malformed debts. A missing debt repeats a mail, but an error would stop the scan
// for good.
func readDebts(attribute types.AttributeValue) (debts []sweep.Debt) {
	list, _ := attribute.(*types.AttributeValueMemberL)
	if list == nil {
		return nil
	}
	for _, element := range list.Value {
		if d, ok := readDebt(element); ok {
			debts = append(debts, d)
		}
	}
	return debts
}

func readDebt(element types.AttributeValue) (sweep.Debt, bool) {
	switch v := element.(type) {
	case *types.AttributeValueMemberN:
		id, err := token.ParseID(v.Value)
		return sweep.Debt{Token: id}, err == nil
	case *types.AttributeValueMemberS:
		one, two, _ := strings.Cut(v.Value, "@")
		id, err := token.ParseID(one)
		to, errTo := account.ParseID(two)
		return sweep.Debt{Token: id, To: to}, err == nil && errTo == nil
	default:
		return sweep.Debt{}, false
	}
}

func readProgress(it item) (sweep.Progress, error) {
	r := attributes{item: it}
	p := sweep.Progress{Cursor: account.ID(r.optionalNumber("cursor")), Done: r.flag("done"), Unmarked: readDebts(it["unmarked"])}
	if counts, ok := it["counts"].(*types.AttributeValueMemberM); ok {
		for name, value := range counts.Value {
			n, ok := value.(*types.AttributeValueMemberN)
			if !ok {
				r.fault("counts")
				break
			}
			count, err := strconv.Atoi(n.Value)
			if err != nil {
				r.fault("counts")
			}
			p.Counts = withCount(p.Counts, name, count)
		}
	}
	return p, r.err
}

func withCount(c sweep.Counts, name string, n int) sweep.Counts {
	switch name {
	case "examined":
		c.Examined = n
	case "due":
		c.Due = n
	case "mails":
		c.Mails = n
	case "marked":
		c.Marked = n
	case "failed":
		c.Failed = n
	case "ended":
		c.BotsRemoved = n
	case "revoked":
		c.Revoked = n
	default:
		const skipped = len("skipped_")
		if c.Skipped == nil {
			c.Skipped = map[string]int{}
		}
		if len(name) > skipped {
			c.Skipped[name[skipped:]] = n
		}
	}
	return c
}
