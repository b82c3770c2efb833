package engine

import (
	"cmp"
	"hash/fnv"
	"slices"

	"github.com/google/btree" // keeps rows in order, and clones them without a copy
)

// table holds the items of one table and of its indexes. An index has the same structure under
// another key. Items without that key are not in it, so it is sparse.
type table struct {
	created createTableInput
	ttl     string // attribute name; empty when off
	items   *collection
	indexes map[string]*collection
	stream  *stream // nil for none
}

// collection keeps items in the order of their keys, in a tree that a clone shares until one of
// them writes.
type collection struct {
	key, tableKey keyPair
	keep          map[string]bool // projected attributes; nil for all
	rows          *btree.BTreeG[row]
}

// keyPair names a partition key and a sort key.
type keyPair struct{ partition, sort string }

func (k keyPair) names() []string { return []string{k.partition, k.sort} }

// row is an item with its position: the partition key, the sort key and, in an index, the table's
// key, which distinguishes entries with equal keys. As in DynamoDB, partitions are in the order of
// their hashes, so that no caller relies on a sorted scan.
type row struct {
	hash  uint64
	place [4]string
	item  item
}

func (r row) compare(other row) int {
	return cmp.Or(cmp.Compare(r.hash, other.hash), slices.Compare(r.place[:], other.place[:]))
}

func before(a, b row) bool { return a.compare(b) < 0 }

func newCollection(key, tableKey keyPair) *collection {
	const degree = 16
	return &collection{key: key, tableKey: tableKey, rows: btree.NewG(degree, before)}
}

func (c *collection) clone() *collection {
	copied := *c
	copied.rows = c.rows.Clone()
	return &copied
}

func at(partition, sort string) row {
	h := fnv.New64a()
	_, _ = h.Write([]byte(partition)) // never fails (hash.Hash)
	return row{hash: h.Sum64(), place: [4]string{partition, sort}}
}

// row returns the position of an item or key.
func (c *collection) row(it item) row {
	r := at(it[c.key.partition].text(), it[c.key.sort].text())
	if c.key != c.tableKey {
		r.place[2], r.place[3] = it[c.tableKey.partition].text(), it[c.tableKey.sort].text()
	}
	r.item = it
	return r
}

func (c *collection) holds(it item) bool {
	return !slices.ContainsFunc(c.key.names(), func(name string) bool { _, ok := it[name]; return !ok })
}

func (c *collection) get(key item) item {
	found, _ := c.rows.Get(c.row(key))
	return found.item
}

// after visits the rows after a position in either direction, until each returns false.
func (c *collection) after(place row, forward bool, each func(row) (more bool)) {
	visit := func(r row) bool { return r.compare(place) == 0 || each(r) }
	if forward {
		c.rows.AscendGreaterOrEqual(place, visit)
	} else {
		c.rows.DescendLessOrEqual(place, visit)
	}
}

// project returns the item as this collection stores it.
func (c *collection) project(it item) item {
	if c.keep == nil {
		return it
	}
	return pick(it, func(name string) bool { return c.keep[name] })
}

func pick(it item, wanted func(name string) bool) item {
	out := item{}
	for name, v := range it {
		if wanted(name) {
			out[name] = v
		}
	}
	return out
}

// keyNames returns the attributes of a page's last key: the collection's key and the table's.
func (c *collection) keyNames() []string {
	names := c.key.names()
	if c.key != c.tableKey {
		names = append(names, c.tableKey.names()...)
	}
	return names
}

func (c *collection) keyOf(it item) item {
	names := c.keyNames()
	return pick(it, func(name string) bool { return slices.Contains(names, name) })
}

// store replaces before (nil if there is none) by after (nil to delete) in the table and its indexes.
func (t *table) store(before, after item) {
	replace(t.items, before, after)
	for _, index := range t.indexes {
		replace(index, before, after)
	}
}

func replace(c *collection, before, after item) {
	if before != nil && c.holds(before) {
		c.rows.Delete(c.row(before))
	}
	if after != nil && c.holds(after) {
		c.rows.ReplaceOrInsert(c.row(after))
	}
}

// checkKey accepts only the primary key.
func (t *table) checkKey(key item) error {
	if len(key) != len(t.items.key.names()) {
		return invalid("The number of conditions on the keys is invalid")
	}
	return t.items.checkKey(key)
}

// checkItem refuses an item without a proper key, or larger than 400 KB (the item size quota).
func (t *table) checkItem(it item) error {
	const limit = 400 << 10
	if err := t.items.checkKey(it); err != nil {
		return err
	}
	for _, index := range t.indexes {
		if err := index.checkKey(it); err != nil {
			return err
		}
	}
	if it.bytes() > limit {
		return invalid("Item size has exceeded the maximum allowed size")
	}
	return nil
}

// checkKey refuses key attributes that are missing, empty, too long or of another type than S. An
// item may lack the key of an index.
func (c *collection) checkKey(it item) error {
	const maxPartition, maxSort = 2048, 1024 // bytes ("Quotas", developer guide)
	for i, name := range c.key.names() {
		limit := []int{maxPartition, maxSort}[i]
		v, ok := it[name]
		switch {
		case !ok && c.key != c.tableKey:
		case !ok:
			return invalid("One of the required keys was not given a value: %s", name)
		case v.kind != "S":
			return ofItem(invalid("One or more parameter values were invalid: Type mismatch for key %s expected: S actual: %s", name, v.kind))
		case v.text() == "":
			return invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: %s", name)
		case len(v.text()) > limit:
			return invalid("One or more parameter values were invalid: Size limit of %d bytes exceeded by key %s", limit, name)
		}
	}
	return nil
}
