package engine

type getItemInput struct {
	TableName      string
	Key            item
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
	found, err := t.get(in.Key)
	return getReply{found}, err
}

func (t *table) get(key item) (item, error) {
	if err := t.checkKey(key); err != nil {
		return nil, err
	}
	return t.items.get(key), nil
}

type batchGetInput struct{ RequestItems map[string]keysToGet }

type keysToGet struct {
	Keys           []item
	ConsistentRead *bool `json:",omitempty"`
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
	seen := keySet{}
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
			found, err := t.get(key)
			if err != nil {
				return out, err
			}
			if !seen.add(t, key) {
				return out, invalid("Provided list of item keys contains duplicates")
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
