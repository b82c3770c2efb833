package engine

import (
	"slices"
	"sort"
)

// pageBytes is the size at which DynamoDB ends a page whatever the limit ("Paginating table query
// results", developer guide). The engine applies it too, to catch a caller that reads only one
// page.
const pageBytes = 1 << 20

// search holds the parameters that Query and Scan share.
type search struct {
	ignored
	TableName                 string
	IndexName                 string
	FilterExpression          source
	ProjectionExpression      source
	ExpressionAttributeNames  map[string]string
	ExpressionAttributeValues item
	ExclusiveStartKey         item
	Limit                     *int
	ConsistentRead            bool
	Select                    string
}

type queryInput struct {
	search
	KeyConditionExpression source
	ScanIndexForward       *bool
}

type scanInput struct {
	search
	Segment       *uint64
	TotalSegments *uint64
}

type page struct {
	Items            []item `json:",omitempty"`
	Count            int
	ScannedCount     int
	LastEvaluatedKey item `json:",omitempty"`
}

type searcher struct {
	search
	in     *collection
	with   *substitutions
	filter *node
	paths  []path
	size   int
	page   page
	last   item
}

func (e *Engine) searcher(in search) (*searcher, error) {
	t, err := e.table(in.TableName)
	if err != nil {
		return nil, err
	}
	s := &searcher{search: in, in: t.items, with: newSubstitutions(in.ExpressionAttributeNames, in.ExpressionAttributeValues)}
	if in.IndexName != "" {
		index, ok := t.indexes[in.IndexName]
		switch {
		case !ok:
			return nil, invalid("The table does not have the specified index: %s", in.IndexName)
		case in.ConsistentRead:
			return nil, invalid("Consistent reads are not supported on global secondary indexes")
		case in.Select == "ALL_ATTRIBUTES" && index.keep != nil:
			return nil, invalid("One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global secondary index %s", in.IndexName)
		}
		s.in = index
	}
	if in.Limit != nil && *in.Limit < 1 {
		return nil, invalid("Limit must be greater than or equal to 1")
	}
	if in.ExclusiveStartKey != nil && (!s.in.holds(in.ExclusiveStartKey) || len(in.ExclusiveStartKey) != len(s.in.keyOf(in.ExclusiveStartKey))) {
		return nil, invalid("The provided starting key is invalid")
	}
	if in.FilterExpression != "" {
		filter, err := parse("FilterExpression", in.FilterExpression, s.with, (*parser).condition)
		if err != nil {
			return nil, err
		}
		s.filter = &filter
	}
	s.paths, err = projectionPaths(in.ProjectionExpression, s.with)
	return s, err
}

// take examines one item and reports whether the page has room for another. The limit counts
// examined items, whether or not they pass the filter.
func (s *searcher) take(it item) (more bool, err error) {
	seen := s.in.project(it)
	s.page.ScannedCount++
	s.size += seen.bytes()
	s.last = it
	passes := true
	if s.filter != nil {
		if passes, err = s.filter.holds(seen); err != nil {
			return false, err
		}
	}
	if passes {
		s.page.Count++
		if s.Select != "COUNT" {
			if seen, err = selectPaths(seen, s.paths); err != nil {
				return false, err
			}
			s.page.Items = append(s.page.Items, seen)
		}
	}
	full := s.size >= pageBytes || s.Limit != nil && s.page.ScannedCount == *s.Limit
	if full {
		// As in DynamoDB, a full page has a key even if nothing follows.
		s.page.LastEvaluatedKey = s.in.keyOf(s.last)
	}
	return !full, nil
}

func (e *Engine) query(in queryInput) (page, error) {
	s, err := e.searcher(in.search)
	if err != nil {
		return page{}, err
	}
	condition, err := parse("KeyConditionExpression", in.KeyConditionExpression, s.with, (*parser).condition)
	if err != nil {
		return page{}, err
	}
	partition, sortCondition, err := s.in.keyCondition(condition)
	if err != nil {
		return page{}, err
	}
	if err := s.with.checkAllUsed(); err != nil {
		return page{}, err
	}
	forward := in.ScanIndexForward == nil || *in.ScanIndexForward
	rows := s.in.partitions[s.in.partitionOf(item{s.in.key.partition: partition})]
	for _, it := range s.in.from(rows, in.ExclusiveStartKey, forward) {
		if sortCondition != nil {
			if holds, err := sortCondition.holds(it); err != nil {
				return page{}, err
			} else if !holds {
				continue
			}
		}
		if more, err := s.take(it); err != nil {
			return page{}, err
		} else if !more {
			break
		}
	}
	return s.page, nil
}

// keyCondition splits `partition = :v [AND condition on the sort key]`.
func (c *collection) keyCondition(n node) (partition value, onSort *node, err error) {
	parts := []node{n}
	if n.op == "AND" {
		parts = n.args
	}
	found := false
	for _, part := range parts {
		onKey := len(part.args) > 1 && part.args[0].op == "path" && len(part.args[0].path) == 1 &&
			!slices.ContainsFunc(part.args[1:], func(arg node) bool { return arg.op != "value" })
		name := ""
		if onKey {
			name = part.args[0].path.attribute()
		}
		switch {
		case name == c.key.partition && part.op == "=" && !found:
			partition, found = part.args[1].value, true
		case name == c.key.sort && onKey && onSort == nil && slices.Contains([]string{"=", "<", "<=", ">", ">=", "BETWEEN", "begins_with"}, part.op):
			onSort = &part
		default:
			return value{}, nil, invalid("Query key condition not supported")
		}
	}
	if !found {
		return value{}, nil, invalid("Query condition missed key schema element: %s", c.key.partition)
	}
	return partition, onSort, nil
}

func (e *Engine) scan(in scanInput) (page, error) {
	s, err := e.searcher(in.search)
	if err != nil {
		return page{}, err
	}
	if err := s.with.checkAllUsed(); err != nil {
		return page{}, err
	}
	if (in.Segment == nil) != (in.TotalSegments == nil) || in.Segment != nil && *in.Segment >= *in.TotalSegments {
		return page{}, invalid("Segment must be less than TotalSegments, and both must be given")
	}
	order := s.in.inOrder()
	start := ""
	if in.ExclusiveStartKey != nil {
		start = s.in.partitionOf(in.ExclusiveStartKey)
		order = order[sort.Search(len(order), func(i int) bool { return compareHashes(order[i], start) >= 0 }):]
	}
	for _, partition := range order {
		if in.Segment != nil && hash(partition)%*in.TotalSegments != *in.Segment {
			continue
		}
		var after item
		if partition == start {
			after = in.ExclusiveStartKey
		}
		for _, it := range s.in.from(s.in.partitions[partition], after, true) {
			if more, err := s.take(it); err != nil {
				return page{}, err
			} else if !more {
				return s.page, nil
			}
		}
	}
	return s.page, nil
}
