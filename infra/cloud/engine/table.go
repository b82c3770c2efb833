package engine

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
)

// table is the items of one table and of its indexes. An index is the same structure under another
// key: items without that key are not in it, which is what makes an index sparse.
type table struct {
	created createTableInput
	since   int64 // Unix seconds
	items   *collection
	indexes map[string]*collection
	ttl     string // attribute name; empty when off
}

func (t *table) clone() *table {
	copied := *t
	copied.items, copied.indexes = t.items.clone(), maps.Clone(t.indexes)
	for name, index := range copied.indexes {
		copied.indexes[name] = index.clone()
	}
	return &copied
}

type collection struct {
	key        keyPair
	tableKey   keyPair         // the tie-break between index entries with equal keys
	keep       map[string]bool // projected attributes; nil for all
	partitions map[string][]item
	// order lists the partitions as a scan visits them; nil when it must be made anew.
	order atomic.Pointer[[]string]
}

// keyPair names a partition key and, if sort is not empty, a sort key.
type keyPair struct{ partition, sort string }

func (k keyPair) names() []string {
	if k.sort == "" {
		return []string{k.partition}
	}
	return []string{k.partition, k.sort}
}

func newCollection(key, tableKey keyPair) *collection {
	return &collection{key: key, tableKey: tableKey, partitions: map[string][]item{}}
}

// clone copies the order of the items and not the items, which no write changes.
func (c *collection) clone() *collection {
	copied := &collection{key: c.key, tableKey: c.tableKey, keep: c.keep, partitions: maps.Clone(c.partitions)}
	for partition, rows := range copied.partitions {
		copied.partitions[partition] = slices.Clone(rows)
	}
	copied.order.Store(c.order.Load())
	return copied
}

// partitionOf spells a partition key so that keys of different types cannot meet.
func (c *collection) partitionOf(it item) string {
	v := it[c.key.partition]
	return fmt.Sprintf("%s:%s", v.kind, v.data)
}

// compare orders two items of one partition, by sort key and then by the table's own key.
func (c *collection) compare(a, b item) int {
	if c.key.sort != "" {
		if order, _ := compare(a[c.key.sort], b[c.key.sort]); order != 0 {
			return order
		}
	}
	if c.key == c.tableKey {
		return 0
	}
	for _, name := range c.tableKey.names() {
		if order, _ := compare(a[name], b[name]); order != 0 {
			return order
		}
	}
	return 0
}

func (c *collection) holds(it item) bool {
	return !slices.ContainsFunc(c.key.names(), func(name string) bool { _, ok := it[name]; return !ok })
}

func (c *collection) find(it item) (rows []item, at int, found bool) {
	rows = c.partitions[c.partitionOf(it)]
	at, found = slices.BinarySearchFunc(rows, it, c.compare)
	return rows, at, found
}

func (c *collection) get(key item) item {
	if rows, at, found := c.find(key); found {
		return rows[at]
	}
	return nil
}

func (c *collection) put(it item) {
	rows, at, found := c.find(it)
	if found {
		rows[at] = it
		return
	}
	if len(rows) == 0 {
		c.order.Store(nil)
	}
	c.partitions[c.partitionOf(it)] = slices.Insert(rows, at, it)
}

func (c *collection) remove(it item) {
	rows, at, found := c.find(it)
	switch {
	case !found:
	case len(rows) == 1:
		delete(c.partitions, c.partitionOf(it))
		c.order.Store(nil)
	default:
		c.partitions[c.partitionOf(it)] = slices.Delete(rows, at, at+1)
	}
}

// inOrder visits partitions by the hash of their key, as DynamoDB does: nobody should come to rely
// on a scan being sorted.
func (c *collection) inOrder() []string {
	if order := c.order.Load(); order != nil {
		return *order
	}
	order := make([]string, 0, len(c.partitions))
	for partition := range c.partitions {
		order = append(order, partition)
	}
	slices.SortFunc(order, compareHashes)
	c.order.Store(&order)
	return order
}

func compareHashes(a, b string) int {
	return cmp.Or(cmp.Compare(hash(a), hash(b)), strings.Compare(a, b))
}

func hash(partition string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(partition)) // never fails (hash.Hash)
	return h.Sum64()
}

// from returns the rows of a partition that come after start in the given direction.
func (c *collection) from(rows []item, start item, forward bool) []item {
	if !forward {
		rows = slices.Clone(rows)
		slices.Reverse(rows)
	}
	if start == nil {
		return rows
	}
	return rows[sort.Search(len(rows), func(i int) bool {
		order := c.compare(rows[i], start)
		if forward {
			return order > 0
		}
		return order < 0
	}):]
}

// project is the item as this collection holds it.
func (c *collection) project(it item) item {
	if c.keep == nil {
		return it
	}
	out := item{}
	for name, v := range it {
		if c.keep[name] {
			out[name] = v
		}
	}
	return out
}

// keyOf is the key that a page ends with: the collection's and the table's.
func (c *collection) keyOf(it item) item {
	out := item{}
	for _, name := range append(c.key.names(), c.tableKey.names()...) {
		out[name] = it[name]
	}
	return out
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
		c.remove(before)
	}
	if after != nil && c.holds(after) {
		c.put(after)
	}
}

// checkKey refuses anything but exactly the primary key with its declared types.
func (t *table) checkKey(key item) error {
	if len(key) != len(t.items.key.names()) {
		return invalid("The provided key element does not match the schema")
	}
	return t.checkKeyAttributes(key, t.items.key, false)
}

// checkItem refuses an item without a proper key, or larger than 400 KB (the item size quota).
func (t *table) checkItem(it item) error {
	const limit = 400 << 10
	if err := t.checkKeyAttributes(it, t.items.key, false); err != nil {
		return err
	}
	for _, index := range t.indexes {
		if err := t.checkKeyAttributes(it, index.key, true); err != nil {
			return err
		}
	}
	if it.bytes() > limit {
		return invalid("Item size has exceeded the maximum allowed size")
	}
	return nil
}

func (t *table) checkKeyAttributes(it item, key keyPair, optional bool) error {
	for _, name := range key.names() {
		v, ok := it[name]
		if !ok {
			if optional {
				continue
			}
			return invalid("One or more parameter values were invalid: Missing the key %s in the item", name)
		}
		if want := t.created.attributeType(name); v.kind != want {
			return invalid("One or more parameter values were invalid: Type mismatch for key %s expected: %s actual: %s", name, want, v.kind)
		}
		if n, ok := v.size(); ok && n == 0 {
			return invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: %s", name)
		}
	}
	return nil
}
