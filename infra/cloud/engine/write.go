package engine

import (
	"maps"
	"slices"
)

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
	if !slices.Contains([]string{"", "NONE", "ALL_OLD"}, w.ReturnValuesOnConditionCheckFailure) {
		return nil, invalid("ReturnValuesOnConditionCheckFailure must be ALL_OLD or NONE")
	}
	with, err := newSubstitutions(w.ExpressionAttributeNames, w.ExpressionAttributeValues)
	if err != nil {
		return nil, err
	}
	p := &plan{table: t}
	if w.UpdateExpression != "" {
		if p.actions, err = parse("UpdateExpression", w.UpdateExpression, with, (*parser).update); err != nil {
			return nil, err
		}
	}
	holds := func(item) bool { return true }
	if w.ConditionExpression != "" {
		condition, err := parse("ConditionExpression", w.ConditionExpression, with, (*parser).condition)
		if err != nil {
			return nil, err
		}
		holds = condition.holds
	}
	if err := with.checkAllUsed(); err != nil {
		return nil, err
	}
	p.key = w.Key
	if verb == "Put" {
		if err := t.checkItem(w.Item); err != nil {
			return nil, err
		}
		p.key = t.items.keyOf(w.Item)
	} else if err := t.checkKey(w.Key); err != nil {
		return nil, err
	}
	p.before = t.items.get(p.key)
	p.holds = holds(p.before)
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
		for _, a := range p.actions {
			if slices.Contains(p.table.items.key.names(), a.name) {
				return invalid("One or more parameter values were invalid: Cannot update attribute %s. This attribute is part of the key", a.name)
			}
		}
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

func (e *Engine) commit(p *plan) {
	p.table.store(p.before, p.after)
	if p.table.stream != nil {
		p.table.stream.note(e.clock.Now(), p.before, p.after)
	}
}

func (p *plan) oldItem(onFailure string) item {
	if onFailure == "ALL_OLD" {
		return p.before
	}
	return nil
}

const conditionFailed = "The conditional request failed"

func (e *Engine) putItem(in write) (struct{}, error) { return e.single("Put", in) }

func (e *Engine) updateItem(in write) (struct{}, error) { return e.single("Update", in) }

func (e *Engine) deleteItem(in write) (struct{}, error) { return e.single("Delete", in) }

func (e *Engine) single(verb string, in write) (done struct{}, err error) {
	p, err := e.prepare(verb, in)
	if err != nil {
		return done, err
	}
	if !p.holds {
		return done, &apiError{
			Type:    "ConditionalCheckFailedException",
			Message: conditionFailed,
			Item:    p.oldItem(in.ReturnValuesOnConditionCheckFailure),
		}
	}
	if err := p.run(verb, in); err != nil {
		return done, err
	}
	e.commit(p)
	return done, nil
}

type batchWriteInput struct{ RequestItems map[string][]batchWrite }

type batchWrite struct {
	PutRequest    *struct{ Item item }
	DeleteRequest *struct{ Key item }
}

type batchWriteReply struct{ UnprocessedItems struct{} }

// batchWriteItem does puts and deletes, 25 at most, no two of one item (BatchWriteItem, API reference).
func (e *Engine) batchWriteItem(in batchWriteInput) (out batchWriteReply, err error) {
	const limit = 25
	var plans []*plan
	seen := keySet{}
	for name, requests := range in.RequestItems {
		for _, request := range requests {
			verb, w := "Put", write{TableName: name}
			switch {
			case (request.PutRequest == nil) == (request.DeleteRequest == nil):
				return out, invalid("a write request must have either a put or a delete")
			case request.PutRequest != nil:
				w.Item = request.PutRequest.Item
			default:
				verb, w.Key = "Delete", request.DeleteRequest.Key
			}
			p, err := e.prepare(verb, w)
			if err != nil {
				return out, err
			}
			if !seen.add(p.table, p.key) {
				return out, invalid("Provided list of item keys contains duplicates")
			}
			if err := p.run(verb, w); err != nil {
				return out, err
			}
			plans = append(plans, p)
		}
	}
	if len(plans) == 0 || len(plans) > limit {
		return out, invalid("a BatchWriteItem call must have 1 to %d items", limit)
	}
	for _, p := range plans {
		e.commit(p)
	}
	return out, nil
}

// keySet detects a request that names an item twice.
type keySet map[*table][]item

func (s keySet) add(t *table, key item) bool {
	for _, other := range s[t] {
		if maps.EqualFunc(other, key, equal) {
			return false
		}
	}
	s[t] = append(s[t], key)
	return true
}
