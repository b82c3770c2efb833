package engine

import (
	"maps"
)

// ignored are parameters that only request metrics in the reply. This engine has no metrics.
type ignored struct {
	ReturnConsumedCapacity      string
	ReturnItemCollectionMetrics string
}

// write is a PutItem, UpdateItem, DeleteItem or condition check, alone or within a transaction.
type write struct {
	TableName                           string
	Item                                item // put
	Key                                 item // the others
	UpdateExpression                    source
	ConditionExpression                 source
	ExpressionAttributeNames            map[string]string
	ExpressionAttributeValues           item
	ReturnValuesOnConditionCheckFailure string
}

type singleWrite struct {
	write
	ignored
	ReturnValues string
}

type writeReply struct {
	Attributes item `json:",omitempty"`
}

// plan is a write that was checked against the table and not performed yet.
type plan struct {
	table   *table
	key     item
	before  item // nil if absent
	holds   bool // whether the condition holds
	actions []action
	after   item // set by run; nil for a deletion
}

func (e *Engine) prepare(verb string, w write) (*plan, error) {
	t, err := e.table(w.TableName)
	if err != nil {
		return nil, err
	}
	key := w.Key
	if verb == "Put" {
		if err := t.checkItem(w.Item); err != nil {
			return nil, err
		}
		key = w.Item
	} else if err := t.checkKey(w.Key); err != nil {
		return nil, err
	}
	p := &plan{table: t, key: t.items.keyOf(key), before: t.items.get(key), holds: true}
	with := newSubstitutions(w.ExpressionAttributeNames, w.ExpressionAttributeValues)
	if verb == "Update" && w.UpdateExpression != "" {
		if p.actions, err = parse("UpdateExpression", w.UpdateExpression, with, (*parser).update); err != nil {
			return nil, err
		}
		for _, a := range p.actions {
			if _, ok := p.key[a.path.attribute()]; ok {
				return nil, invalid("One or more parameter values were invalid: Cannot update attribute %s. This attribute is part of the key", a.path.attribute())
			}
		}
	}
	if w.ConditionExpression != "" {
		condition, err := parse("ConditionExpression", w.ConditionExpression, with, (*parser).condition)
		if err != nil {
			return nil, err
		}
		if p.holds, err = condition.holds(p.before); err != nil {
			return nil, err
		}
	}
	if err := with.checkAllUsed(); err != nil {
		return nil, err
	}
	return p, nil
}

// run computes the item after the write; commit stores it. They are separate so that a transaction
// whose last update fails changes nothing.
func (p *plan) run(verb string, w write) error {
	switch verb {
	case "Put":
		p.after = w.Item
	case "ConditionCheck":
		p.after = p.before
	case "Update":
		start := p.before
		if start == nil {
			start = p.key
		}
		var err error
		if p.after, err = apply(p.actions, start); err != nil {
			return err
		}
		return p.table.checkItem(p.after)
	}
	return nil
}

func (p *plan) commit() { p.table.store(p.before, p.after) }

func (p *plan) oldItem(onFailure string) item {
	if onFailure == "ALL_OLD" {
		return p.before
	}
	return nil
}

func (e *Engine) single(verb string, in singleWrite) (*plan, error) {
	p, err := e.prepare(verb, in.write)
	if err != nil {
		return nil, err
	}
	if !p.holds {
		return nil, &apiError{
			Type:    "ConditionalCheckFailedException",
			Message: conditionFailed,
			Item:    p.oldItem(in.ReturnValuesOnConditionCheckFailure),
		}
	}
	if err := p.run(verb, in.write); err != nil {
		return nil, err
	}
	p.commit()
	return p, nil
}

const conditionFailed = "The conditional request failed"

func (e *Engine) putItem(in singleWrite) (writeReply, error) { return e.replaceItem("Put", in) }

func (e *Engine) deleteItem(in singleWrite) (writeReply, error) { return e.replaceItem("Delete", in) }

func (e *Engine) replaceItem(verb string, in singleWrite) (writeReply, error) {
	if in.ReturnValues != "" && in.ReturnValues != "NONE" && in.ReturnValues != "ALL_OLD" {
		return writeReply{}, invalid("ReturnValues can only be ALL_OLD or NONE")
	}
	p, err := e.single(verb, in)
	if err != nil || in.ReturnValues != "ALL_OLD" {
		return writeReply{}, err
	}
	return writeReply{p.before}, nil
}

func (e *Engine) updateItem(in singleWrite) (writeReply, error) {
	p, err := e.single("Update", in)
	if err != nil {
		return writeReply{}, err
	}
	switch in.ReturnValues {
	case "", "NONE":
		return writeReply{}, nil
	case "ALL_OLD":
		return writeReply{p.before}, nil
	case "ALL_NEW":
		return writeReply{p.after}, nil
	case "UPDATED_OLD":
		return writeReply{p.touched(p.before)}, nil
	case "UPDATED_NEW":
		return writeReply{p.touched(p.after)}, nil
	}
	return writeReply{}, invalid("unknown ReturnValues %s", in.ReturnValues)
}

// touched returns the attributes that the update named, as a whole, because updates here change
// whole attributes.
func (p *plan) touched(it item) item {
	out := item{}
	for _, a := range p.actions {
		if v, ok := it[a.path.attribute()]; ok {
			out[a.path.attribute()] = v
		}
	}
	return out
}

type batchWriteInput struct {
	ignored
	RequestItems map[string][]batchWrite
}

type batchWrite struct {
	PutRequest    *struct{ Item item }
	DeleteRequest *struct{ Key item }
}

type batchWriteReply struct {
	UnprocessedItems map[string][]batchWrite
}

// batchWriteItem does puts and deletes, 25 at most, no two of one item (BatchWriteItem, API reference).
func (e *Engine) batchWriteItem(in batchWriteInput) (batchWriteReply, error) {
	const limit = 25
	var plans []*plan
	seen := newKeySet()
	for name, requests := range in.RequestItems {
		for _, request := range requests {
			verb, w := "Put", write{TableName: name}
			if request.PutRequest != nil {
				w.Item = request.PutRequest.Item
			} else if request.DeleteRequest != nil {
				verb, w.Key = "Delete", request.DeleteRequest.Key
			} else {
				return batchWriteReply{}, invalid("a write request must have a put or a delete")
			}
			p, err := e.prepare(verb, w)
			if err != nil {
				return batchWriteReply{}, err
			}
			if !seen.add(p.table, p.key) {
				return batchWriteReply{}, invalid("Provided list of item keys contains duplicates")
			}
			if err := p.run(verb, w); err != nil {
				return batchWriteReply{}, err
			}
			plans = append(plans, p)
		}
	}
	if len(plans) == 0 || len(plans) > limit {
		return batchWriteReply{}, invalid("Too many items requested for the BatchWriteItem call")
	}
	for _, p := range plans {
		p.commit()
	}
	return batchWriteReply{UnprocessedItems: map[string][]batchWrite{}}, nil
}

// keySet detects a request that names an item twice.
type keySet map[*table][]item

func newKeySet() keySet { return keySet{} }

func (s keySet) add(t *table, key item) bool {
	for _, other := range s[t] {
		if maps.EqualFunc(other, key, equal) {
			return false
		}
	}
	s[t] = append(s[t], key)
	return true
}
