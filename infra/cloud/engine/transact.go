package engine

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// The limits of a transaction, and how long its client request token is remembered
// (TransactWriteItems, API reference).
const (
	transactLimit = 100
	transactBytes = 4 << 20
	tokenLength   = 36
	tokenLife     = 10 * time.Minute
)

type answeredTransaction struct {
	body [sha256.Size]byte
	at   time.Time
}

type transactWriteInput struct {
	ClientRequestToken string
	TransactItems      []transactWrite
}

type transactWrite struct {
	Put            *write
	Update         *write
	Delete         *write
	ConditionCheck *write
}

func (w transactWrite) verb() (string, write, error) {
	verb, one, n := "", write{}, 0
	for name, part := range map[string]*write{"Put": w.Put, "Update": w.Update, "Delete": w.Delete, "ConditionCheck": w.ConditionCheck} {
		if part != nil {
			verb, one, n = name, *part, n+1
		}
	}
	switch {
	case n != 1:
		return "", one, invalid("TransactItems can only contain one of Check, Put, Update or Delete")
	case verb == "ConditionCheck" && one.ConditionExpression == "":
		return "", one, invalid("The ConditionExpression of a ConditionCheck must not be empty")
	}
	return verb, one, nil
}

// transactWriteItems performs all of its writes or none. It evaluates every condition, so that the
// reasons name each failed item, as DynamoDB's do.
func (e *Engine) transactWriteItems(in transactWriteInput) (done struct{}, err error) {
	if n := len(in.TransactItems); n == 0 || n > transactLimit {
		return done, invalid("Member must have length less than or equal to %d and at least 1", transactLimit)
	}
	if len(in.ClientRequestToken) > tokenLength {
		return done, invalid("Value at 'clientRequestToken' failed to satisfy constraint: Member must have length less than or equal to %d", tokenLength)
	}
	body, err := json.Marshal(in.TransactItems)
	if err != nil {
		return done, err
	}
	plans, reasons, err := e.prepareAll(in.TransactItems)
	if err != nil {
		return done, err
	}
	sum, now := sha256.Sum256(body), e.clock.Now()
	if earlier, ok := e.tokens[in.ClientRequestToken]; ok && now.Sub(earlier.at) < tokenLife {
		if earlier.body != sum {
			return done, &apiError{Type: "IdempotentParameterMismatchException", Message: "The client token was used for another request"}
		}
		return done, nil
	}
	seen := keySet{}
	for _, p := range plans {
		if p != nil && !seen.add(p.table, p.key) {
			return done, invalid("Transaction request cannot include multiple operations on one item")
		}
	}
	if err := cancellation(reasons); err != nil {
		return done, err
	}
	for _, p := range plans {
		e.commit(p)
	}
	if in.ClientRequestToken != "" {
		for token, earlier := range e.tokens {
			if now.Sub(earlier.at) >= tokenLife {
				delete(e.tokens, token)
			}
		}
		e.tokens[in.ClientRequestToken] = answeredTransaction{sum, now}
	}
	return done, nil
}

// prepareAll prepares and runs every write, without committing any. It returns a reason for each item,
// or an error if the request as a whole is invalid.
func (e *Engine) prepareAll(items []transactWrite) ([]*plan, []cancellationReason, error) {
	plans := make([]*plan, len(items))
	reasons := make([]cancellationReason, len(items))
	size := 0
	for i, entry := range items {
		verb, w, err := entry.verb()
		if err != nil {
			return nil, nil, err
		}
		p, err := e.prepare(verb, w)
		fault := new(apiError)
		switch {
		case errors.As(err, &fault) && fault.ofItem:
			reasons[i] = cancellationReason{Code: "ValidationError", Message: err.Error()}
		case err != nil:
			return nil, nil, err
		default:
			plans[i], reasons[i] = p, p.try(verb, w)
			size += p.after.bytes()
		}
	}
	if size > transactBytes {
		return nil, nil, invalid("Transaction payload size cannot exceed 4MB")
	}
	return plans, reasons, nil
}

// try runs the write and returns the reason why it fails, or "None".
func (p *plan) try(verb string, w write) cancellationReason {
	if !p.holds {
		return cancellationReason{Code: "ConditionalCheckFailed", Message: conditionFailed, Item: p.oldItem(w.ReturnValuesOnConditionCheckFailure)}
	}
	if err := p.run(verb, w); err != nil {
		return cancellationReason{Code: "ValidationError", Message: err.Error()}
	}
	return cancellationReason{Code: "None"}
}

// cancellation returns nil if every reason is "None".
func cancellation(reasons []cancellationReason) error {
	codes, against := make([]string, len(reasons)), false
	for i, reason := range reasons {
		codes[i] = reason.Code
		against = against || reason.Code != "None"
	}
	if !against {
		return nil
	}
	return &apiError{
		Type:                "TransactionCanceledException",
		Message:             "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]",
		CancellationReasons: reasons,
	}
}
