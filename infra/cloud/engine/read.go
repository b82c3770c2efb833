package engine

// read names one item, or the items of one table within BatchGetItem.
type read struct {
	TableName                string
	Key                      item
	ProjectionExpression     source
	ExpressionAttributeNames map[string]string
}

type getItemInput struct {
	ignored
	read
	ConsistentRead bool // every read of this engine is
}

type getReply struct {
	Item item `json:",omitempty"`
}

func (e *Engine) getItem(in getItemInput) (getReply, error) {
	t, err := e.table(in.TableName)
	if err != nil {
		return getReply{}, err
	}
	found, err := t.get(in.read)
	return getReply{found}, err
}

func (t *table) get(in read) (item, error) {
	if err := t.checkKey(in.Key); err != nil {
		return nil, err
	}
	with := newSubstitutions(in.ExpressionAttributeNames, nil)
	paths, err := projectionPaths(in.ProjectionExpression, with)
	if err != nil {
		return nil, err
	}
	if err := with.checkAllUsed(); err != nil {
		return nil, err
	}
	return selectPaths(t.items.get(in.Key), paths)
}

func projectionPaths(expression source, with *substitutions) ([]path, error) {
	if expression == "" {
		return nil, nil
	}
	return parse("ProjectionExpression", expression, with, (*parser).paths)
}

// selectPaths keeps the named attributes. It refuses nested paths, because Latchkey reads whole
// attributes.
func selectPaths(it item, paths []path) (item, error) {
	if it == nil || paths == nil {
		return it, nil
	}
	out := item{}
	for _, p := range paths {
		if len(p) > 1 {
			return nil, invalid("a ProjectionExpression can only name whole attributes")
		}
		if v, ok := it[p.attribute()]; ok {
			out[p.attribute()] = v
		}
	}
	return out, nil
}

type batchGetInput struct {
	ignored
	RequestItems map[string]keysToGet
}

type keysToGet struct {
	Keys                     []item
	ConsistentRead           *bool             `json:",omitempty"`
	ProjectionExpression     source            `json:",omitempty"`
	ExpressionAttributeNames map[string]string `json:",omitempty"`
}

type batchGetReply struct {
	Responses       map[string][]item
	UnprocessedKeys map[string]keysToGet
}

// batchGetItem reads up to 100 items and answers up to 16 MB; keys beyond that come back
// unprocessed (BatchGetItem, API reference). Items that do not exist are left out.
func (e *Engine) batchGetItem(in batchGetInput) (batchGetReply, error) {
	const limit, limitBytes = 100, 16 << 20
	out := batchGetReply{Responses: map[string][]item{}, UnprocessedKeys: map[string]keysToGet{}}
	n, size := 0, 0
	seen := newKeySet()
	for name, request := range in.RequestItems {
		t, err := e.table(name)
		if err != nil {
			return out, err
		}
		if n += len(request.Keys); n > limit {
			return out, invalid("Too many items requested for the BatchGetItem call")
		}
		out.Responses[name] = []item{}
		for i, key := range request.Keys {
			if !seen.add(t, key) {
				return out, invalid("Provided list of item keys contains duplicates")
			}
			found, err := t.get(read{name, key, request.ProjectionExpression, request.ExpressionAttributeNames})
			if err != nil {
				return out, err
			}
			if size += found.bytes(); size > limitBytes {
				rest := request
				rest.Keys = request.Keys[i:]
				out.UnprocessedKeys[name] = rest
				break
			}
			if found != nil {
				out.Responses[name] = append(out.Responses[name], found)
			}
		}
	}
	if n == 0 {
		return out, invalid("The list of keys in RequestItems for BatchGetItem is required")
	}
	return out, nil
}

type transactGetInput struct {
	ignored
	TransactItems []struct{ Get read }
}

type transactGetReply struct{ Responses []getReply }

func (e *Engine) transactGetItems(in transactGetInput) (transactGetReply, error) {
	var out transactGetReply
	if n := len(in.TransactItems); n == 0 || n > transactLimit {
		return out, invalid("Member must have length less than or equal to %d and at least 1", transactLimit)
	}
	for _, entry := range in.TransactItems {
		t, err := e.table(entry.Get.TableName)
		if err != nil {
			return out, err
		}
		found, err := t.get(entry.Get)
		if err != nil {
			return out, err
		}
		out.Responses = append(out.Responses, getReply{found})
	}
	return out, nil
}
