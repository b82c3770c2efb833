package engine

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// transactLimit is the most items one transaction may have (TransactWriteItems, API reference).
const transactLimit = 100

// tokenLife is how long a client request token is remembered (TransactWriteItems, API reference).
const tokenLife = 10 * time.Minute

type answeredTransaction struct {
	body [sha256.Size]byte
	at   time.Time
}

type transactWriteInput struct {
	ignored
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
func (e *Engine) transactWriteItems(in transactWriteInput) (struct{}, error) {
	done := struct{}{}
	if n := len(in.TransactItems); n == 0 || n > transactLimit {
		return done, invalid("Member must have length less than or equal to %d and at least 1", transactLimit)
	}
	body, err := json.Marshal(in.TransactItems)
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
	plans, err := e.prepareAll(in.TransactItems)
	if err != nil {
		return done, err
	}
	for _, p := range plans {
		p.commit()
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

func (e *Engine) prepareAll(items []transactWrite) ([]*plan, error) {
	plans := make([]*plan, len(items))
	reasons := make([]cancellationReason, len(items))
	cancelled := false
	seen := newKeySet()
	for i, entry := range items {
		verb, w, err := entry.verb()
		if err != nil {
			return nil, err
		}
		p, err := e.prepare(verb, w)
		if err != nil {
			return nil, err
		}
		if !seen.add(p.table, p.key) {
			return nil, invalid("Transaction request cannot include multiple operations on one item")
		}
		plans[i], reasons[i] = p, cancellationReason{Code: "None"}
		if !p.holds {
			reasons[i] = cancellationReason{
				Code:    "ConditionalCheckFailed",
				Message: conditionFailed,
				Item:    p.oldItem(w.ReturnValuesOnConditionCheckFailure),
			}
		} else if err := p.run(verb, w); err != nil {
			reasons[i] = cancellationReason{Code: "ValidationError", Message: messageOf(err)}
		}
		cancelled = cancelled || reasons[i].Code != "None"
	}
	if cancelled {
		return nil, cancellation(reasons)
	}
	return plans, nil
}

func cancellation(reasons []cancellationReason) error {
	codes := make([]string, len(reasons))
	for i, reason := range reasons {
		codes[i] = reason.Code
	}
	return &apiError{
		Type:                "TransactionCanceledException",
		Message:             "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]",
		CancellationReasons: reasons,
	}
}

func messageOf(err error) string {
	if fault := new(apiError); errors.As(err, &fault) {
		return fault.Message
	}
	return err.Error()
}
