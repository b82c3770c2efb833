package engine

import "slices"

// pageBytes is the size at which DynamoDB ends a page whatever the limit ("Paginating table query
// results", developer guide). The engine applies it too, to catch a caller that reads only one
// page.
const pageBytes = 1 << 20

// search holds the parameters that Query and Scan share.
type search struct {
	TableName                 string
	FilterExpression          source
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues item
	ExclusiveStartKey         item
	Limit                     *int
	ConsistentRead            bool
}

type queryInput struct {
	search
	IndexName              *string
	KeyConditionExpression source
	ProjectionExpression   source
	ScanIndexForward       *bool
}

type page struct {
	Items            []item
	Count            int
	ScannedCount     int
	LastEvaluatedKey item `json:",omitempty"`
}

type searcher struct {
	search
	in     *collection
	with   *substitutions
	filter *node
	only   []string // the requested attributes; nil for all
	size   int
	page   page
}

func newSearcher(in search, c *collection) (*searcher, error) {
	s := &searcher{search: in, in: c, page: page{Items: []item{}}}
	if in.Limit != nil && *in.Limit < 1 {
		return nil, invalid("Limit must be greater than or equal to 1")
	}
	var err error
	if s.with, err = newSubstitutions(in.ExpressionAttributeNames, in.ExpressionAttributeValues); err != nil {
		return nil, err
	}
	if in.FilterExpression != "" {
		filter, err := parse("FilterExpression", in.FilterExpression, s.with, (*parser).condition)
		if err != nil {
			return nil, err
		}
		s.filter = &filter
	}
	if in.ExclusiveStartKey != nil {
		return s, s.checkStart(in.ExclusiveStartKey)
	}
	return s, nil
}

func (s *searcher) checkStart(start item) error {
	if names := s.in.keyNames(); len(start) != len(names) || len(s.in.keyOf(start)) != len(names) {
		return invalid("Exclusive Start Key must have same size as table's key schema")
	}
	for name, v := range start {
		if v.kind != "S" || v.text() == "" {
			return invalid("The provided starting key is invalid: %s", name)
		}
	}
	return nil
}

// take examines one item and reports whether the page has room for another. The limit counts
// examined items, whether or not they pass the filter.
func (s *searcher) take(it item) (more bool) {
	seen := s.in.project(it)
	s.page.ScannedCount++
	s.size += seen.bytes()
	if s.filter == nil || s.filter.holds(seen) {
		s.page.Count++
		if s.only != nil {
			seen = pick(seen, func(name string) bool { return slices.Contains(s.only, name) })
		}
		s.page.Items = append(s.page.Items, seen)
	}
	if s.size < pageBytes && (s.Limit == nil || s.page.ScannedCount < *s.Limit) {
		return true
	}
	// As in DynamoDB, a full page has a last key even if nothing follows.
	s.page.LastEvaluatedKey = s.in.keyOf(it)
	return false
}

func (e *Engine) query(in queryInput) (page, error) {
	t, err := e.table(in.TableName)
	if err != nil {
		return page{}, err
	}
	c := t.items
	if in.IndexName != nil {
		c = t.indexes[*in.IndexName]
		switch {
		case c == nil:
			return page{}, invalid("The table does not have the specified index: %s", *in.IndexName)
		case in.ConsistentRead:
			return page{}, invalid("Consistent reads are not supported on global secondary indexes")
		}
	}
	s, err := newSearcher(in.search, c)
	if err != nil {
		return page{}, err
	}
	condition, err := parse("KeyConditionExpression", in.KeyConditionExpression, s.with, (*parser).condition)
	if err != nil {
		return page{}, err
	}
	partition, onSort, err := c.keyCondition(condition)
	if err != nil {
		return page{}, err
	}
	if in.ProjectionExpression != "" {
		if s.only, err = parse("ProjectionExpression", in.ProjectionExpression, s.with, (*parser).projection); err != nil {
			return page{}, err
		}
	}
	if err := s.checkAttributes(); err != nil {
		return page{}, err
	}
	matches := func(r row) bool { return r.place[0] == partition && (onSort == nil || onSort.holds(r.item)) }
	forward := in.ScanIndexForward == nil || *in.ScanIndexForward
	last := func(it item) bool {
		return c == t.items && onSort != nil && onSort.endsAt(it[c.key.sort].text(), forward)
	}
	start := at(partition, "")
	if !forward {
		start = at(partition, "\xff") // after every text, because no text contains it
	}
	if in.ExclusiveStartKey != nil {
		if start = c.row(in.ExclusiveStartKey); !matches(start) || last(start.item) {
			return page{}, invalid("The provided starting key does not match the range key predicate")
		}
	}
	c.after(start, forward, func(r row) bool {
		return r.place[0] == partition && (!matches(r) || s.take(r.item))
	})
	if last(s.page.LastEvaluatedKey) {
		s.page.LastEvaluatedKey = nil
	}
	return s.page, nil
}

// endsAt reports whether a sort key is the far bound of the condition, so that no item of a table
// can follow. As in DynamoDB Local, a full page that ends there has no last key. In an index, whose
// keys need not be unique, more items can follow.
func (n node) endsAt(sort string, forward bool) bool {
	switch {
	case n.op == "<=" && forward, n.op == ">=" && !forward, n.op == "BETWEEN" && !forward:
		return sort == n.args[1].value.text()
	case n.op == "BETWEEN":
		return sort == n.args[2].value.text()
	}
	return false
}

// checkAttributes refuses key attributes in a filter, and attributes that the index does not project.
func (s *searcher) checkAttributes() error {
	if err := s.with.checkAllUsed(); err != nil {
		return err
	}
	looked := slices.Clone(s.only)
	if s.filter != nil {
		for _, name := range s.filter.attributes() {
			if slices.Contains(s.in.key.names(), name) {
				return invalid("Filter Expression can only contain non-primary key attributes: Primary key attribute: %s", name)
			}
			looked = append(looked, name)
		}
	}
	for _, name := range looked {
		if s.in.keep != nil && !s.in.keep[name] {
			return invalid("One or more parameter values were invalid: the index does not project %s", name)
		}
	}
	return nil
}

// keyCondition splits `partition = :v [AND condition on the sort key]`.
func (c *collection) keyCondition(n node) (partition string, onSort *node, err error) {
	parts := []node{n}
	if n.op == "AND" {
		parts = n.args
	}
	for _, part := range parts {
		onKey := len(part.args) > 1 && part.op != "contains" && part.args[0].op == "attribute" &&
			!slices.ContainsFunc(part.args[1:], func(arg node) bool { return arg.op != "value" })
		switch {
		case onKey && part.args[0].name == c.key.partition && part.op == "=" && partition == "":
			partition = part.args[1].value.text()
		case onKey && part.args[0].name == c.key.sort:
			onSort = &part
		default:
			return "", nil, invalid("Query key condition not supported, or not by the embedded engine")
		}
		for _, arg := range part.args[1:] {
			if arg.value.kind != "S" || arg.value.text() == "" {
				return "", nil, invalid("One or more parameter values were invalid: a key is compared with a text that is not empty")
			}
		}
	}
	if partition == "" {
		return "", nil, invalid("Query condition missed key schema element: %s", c.key.partition)
	}
	return partition, onSort, nil
}

func (e *Engine) scan(in search) (page, error) {
	t, err := e.table(in.TableName)
	if err != nil {
		return page{}, err
	}
	s, err := newSearcher(in, t.items)
	if err != nil {
		return page{}, err
	}
	if err := s.with.checkAllUsed(); err != nil {
		return page{}, err
	}
	var start row
	if in.ExclusiveStartKey != nil {
		start = t.items.row(in.ExclusiveStartKey)
	}
	t.items.after(start, true, func(r row) bool { return s.take(r.item) })
	return s.page, nil
}
