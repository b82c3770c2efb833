package store

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/token"
)

// Entry:    DIRECTORY#<ID, CREATED or EXPIRES>#<shard> / <place>, a token in a list of all tokens in
//           that order. The place is the token's id, behind the second of its creation or of its end.
// Complete: DIRECTORY#TOKENS / COMPLETE, once every token has its entries.
//
// Entries are items and no index, because what was just created must be in the list, and an index has no
// consistent reads.

const (
	directoryPrefix = "DIRECTORY#"
	// directoryShards is the number of parts of an order. Every creation writes to the newest end of the
	// order by creation, and one partition takes 1,000 write units a second (DynamoDB: partition
	// throughput), which are 500 entries. Eight parts take more creations than a table's default quota of
	// 40,000 write units. Every page reads from all parts, so more of them would make pages dearer.
	// Entries stay in their part, so it must not change.
	directoryShards = 8
)

var orderNames = map[token.Order]string{token.ByID: "ID", token.ByCreation: "CREATED", token.ByExpiry: "EXPIRES"}

func directoryPartition(o token.Order, shard int) string {
	return fmt.Sprintf("%s%s#%02d", directoryPrefix, orderNames[o], shard)
}

// directoryShard spreads the tokens of one owner as well as the first tokens of many.
func directoryShard(id token.ID) int { return int((int64(id.Owner()) + id.Number()) % directoryShards) }

func directoryCompleteKey() key { return keyOf(directoryPrefix+"TOKENS", "COMPLETE") }

func directoryCompleteItem(now time.Time) item {
	it := directoryCompleteKey()
	it["at"] = epoch(now)
	return it
}

func placeSort(o token.Order, p token.Place) string {
	if o == token.ByID {
		return padded(p.ID)
	}
	return fmt.Sprintf("%012d#%s", p.At, padded(p.ID))
}

func entryKey(o token.Order, tok token.Token) key {
	return keyOf(directoryPartition(o, directoryShard(tok.ID)), placeSort(o, o.PlaceOf(tok)))
}

// entryItems returns the entries of a token. They are cleaned up together with its record.
func entryItems(tok token.Token, record item) []item {
	items := make([]item, len(token.Orders))
	for i, o := range token.Orders {
		it := entryKey(o, tok)
		it["digest"] = text(tok.Digest.Key())
		if ends, temporary := record["delete_after"]; temporary {
			it["delete_after"] = ends
		}
		items[i] = it
	}
	return items
}

// enter puts the entries of a new token.
func (t *Table) enter(tok token.Token) []types.TransactWriteItem {
	var puts []types.TransactWriteItem
	for _, it := range entryItems(tok, t.tokenItem(tok)) {
		puts = append(puts, t.put(it, "", nil))
	}
	return puts
}

// retireEntries sets the time at which the entries of a token are cleaned up. It has no condition, because a
// token from before there were entries may have none. Its update then makes an entry without a digest,
// which lists pass over and EnterTokens fills.
func (t *Table) retireEntries(tok token.Token, at time.Time) []types.TransactWriteItem {
	updates := make([]types.TransactWriteItem, len(token.Orders))
	for i, o := range token.Orders {
		updates[i] = t.update(entryKey(o, tok), "SET delete_after = :delete", "", item{":delete": epoch(at.Add(t.opts.Retention))})
	}
	return updates
}

// An entry names a record and says where it stands in an order.
type entry struct {
	place token.Place
	pointer
}

// placeIn reads the place in a sort key, which ends with 16 digits of an id. In an order of instants it
// starts with 12 digits.
func placeIn(o token.Order, sort string) (token.Place, bool) {
	const idDigits, secondDigits = 16, 12
	id, err := strconv.ParseInt(sort[max(0, len(sort)-idDigits):], 10, 64)
	if err != nil || o == token.ByID {
		return token.Place{ID: token.ID(id)}, err == nil
	}
	second, _, _ := strings.Cut(sort, "#")
	at, err := strconv.ParseInt(second, 10, 64)
	return token.Place{At: at, ID: token.ID(id)}, err == nil && len(second) == secondDigits
}

// readPlaced reads an entry or a pointer. some is false for one that is about to be cleaned up, or that
// EnterTokens has not filled yet.
func readPlaced(o token.Order, it item, now time.Time) (e entry, some bool, err error) {
	r := attributes{item: it}
	ends := r.optionalInstant("delete_after")
	if _, filled := it["digest"]; r.err == nil && (!filled || !ends.IsZero() && !now.Before(ends)) {
		return entry{}, false, nil
	}
	place, readable := placeIn(o, r.text("sk"))
	if !readable {
		r.fault("sk")
	}
	if r.err != nil {
		return entry{}, false, r.err
	}
	p, err := readPointer(it)
	return entry{place, p}, err == nil, err
}
