package store

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/account"
	"latchkey/pkg/fault"
	"latchkey/pkg/token"
)

// Images reads items from the table's stream, which has them in DynamoDB JSON. Its errors are
// fault.ErrCorrupt and show no value.
type Images struct{}

// image is an attribute in DynamoDB JSON, of the types that items of Latchkey have.
type image struct {
	S, N *string
	BOOL *bool
	SS   []string
	L    []image
}

// Token reads a token record.
func (Images) Token(raw []byte) (token.Token, error) {
	it, err := readImage(raw)
	if err != nil {
		return token.Token{}, err
	}
	return readToken(it)
}

// Account reads a profile.
func (Images) Account(raw []byte) (account.Account, error) {
	it, err := readImage(raw)
	if err != nil {
		return account.Account{}, err
	}
	return readProfile(it)
}

// TokensFrom reads from the settings the instant before which no token counts, or the zero time. Nothing
// else in them concerns it.
func (Images) TokensFrom(raw []byte) (time.Time, error) {
	it, err := readImage(raw)
	if err != nil {
		return time.Time{}, err
	}
	r := attributes{item: it}
	from := r.optionalInstant("tokens_from")
	return from, r.err
}

func readImage(raw []byte) (item, error) {
	var attributes map[string]image
	if err := json.Unmarshal(raw, &attributes); err != nil || len(attributes) == 0 {
		return nil, fmt.Errorf("%w: image of an item", fault.ErrCorrupt)
	}
	it := make(item, len(attributes))
	for name, attribute := range attributes {
		it[name] = attribute.value()
	}
	return it, nil
}

// value leaves an attribute of any other type unreadable. Nobody asks for those that are not ours.
func (i image) value() types.AttributeValue {
	switch {
	case i.S != nil:
		return text(*i.S)
	case i.N != nil:
		return &types.AttributeValueMemberN{Value: *i.N}
	case i.BOOL != nil:
		return boolean(*i.BOOL)
	case i.SS != nil:
		return &types.AttributeValueMemberSS{Value: i.SS}
	case i.L != nil:
		list := make([]types.AttributeValue, len(i.L))
		for n, element := range i.L {
			list[n] = element.value()
		}
		return &types.AttributeValueMemberL{Value: list}
	default:
		return &types.UnknownUnionMember{}
	}
}
