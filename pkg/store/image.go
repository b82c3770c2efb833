package store

import (
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/fault"
	"latchkey/pkg/token"
)

// image is an attribute in DynamoDB JSON, of the types that token records have.
type image struct {
	S, N *string
	BOOL *bool
	SS   []string
	L    []image
}

// ReadImage reads a token record from the table's stream, which has it in DynamoDB JSON. Its errors are
// fault.ErrCorrupt and show no value.
func ReadImage(raw []byte) (token.Token, error) {
	var attributes map[string]image
	if err := json.Unmarshal(raw, &attributes); err != nil || len(attributes) == 0 {
		return token.Token{}, fmt.Errorf("%w: image of a record", fault.ErrCorrupt)
	}
	it := make(item, len(attributes))
	for name, attribute := range attributes {
		it[name] = attribute.value()
	}
	return readToken(it)
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
