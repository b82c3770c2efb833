package store

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/pkg/fault"
)

// Attributes are encoded and decoded by hand, because reflection would cost more than the rest of a
// decision.

func text(s string) types.AttributeValue     { return &types.AttributeValueMemberS{Value: s} }
func number(n int64) types.AttributeValue    { return &types.AttributeValueMemberN{Value: itoa(n)} }
func boolean(b bool) types.AttributeValue    { return &types.AttributeValueMemberBOOL{Value: b} }
func itoa(n int64) string                    { return strconv.FormatInt(n, 10) }
func epoch(t time.Time) types.AttributeValue { return number(t.Unix()) }

func listOf(texts []string) types.AttributeValue {
	values := make([]types.AttributeValue, len(texts))
	for i, s := range texts {
		values[i] = text(s)
	}
	return &types.AttributeValueMemberL{Value: values}
}

// attributes reads attributes of an item and keeps the first fault.
type attributes struct {
	item item
	err  error
}

func (r *attributes) fault(name string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: attribute %s", fault.ErrCorrupt, name)
	}
}

// text returns a required string attribute.
func (r *attributes) text(name string) string {
	if value, ok := r.item[name].(*types.AttributeValueMemberS); ok {
		return value.Value
	}
	r.fault(name)
	return ""
}

// optionalText returns a string attribute, or "".
func (r *attributes) optionalText(name string) string {
	if _, there := r.item[name]; !there {
		return ""
	}
	return r.text(name)
}

// number returns a required whole number.
func (r *attributes) number(name string) int64 {
	if value, ok := r.item[name].(*types.AttributeValueMemberN); ok {
		if n, err := strconv.ParseInt(value.Value, 10, 64); err == nil {
			return n
		}
	}
	r.fault(name)
	return 0
}

// optionalNumber returns a whole number, or 0.
func (r *attributes) optionalNumber(name string) int64 {
	if _, there := r.item[name]; !there {
		return 0
	}
	return r.number(name)
}

// latestInstant is the last second of the year 9999, the last instant of RFC 3339.
const latestInstant = 253402300799

// instant returns a required attribute of epoch seconds. A value that decodes to the zero time is
// malformed, because the zero time means absent.
func (r *attributes) instant(name string) time.Time {
	n := r.number(name)
	if n < 1 || n > latestInstant {
		r.fault(name)
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

// optionalInstant returns an instant, or the zero time.
func (r *attributes) optionalInstant(name string) time.Time {
	if _, there := r.item[name]; !there {
		return time.Time{}
	}
	return r.instant(name)
}

// flag returns a boolean attribute, or false.
func (r *attributes) flag(name string) bool {
	attribute, there := r.item[name]
	if !there {
		return false
	}
	if value, ok := attribute.(*types.AttributeValueMemberBOOL); ok {
		return value.Value
	}
	r.fault(name)
	return false
}

// optionalSet returns a set of strings, or nil.
func (r *attributes) optionalSet(name string) []string {
	attribute, there := r.item[name]
	if !there {
		return nil
	}
	if value, ok := attribute.(*types.AttributeValueMemberSS); ok {
		return value.Value
	}
	r.fault(name)
	return nil
}

// texts returns a required list of strings.
func (r *attributes) texts(name string) []string {
	list, ok := r.item[name].(*types.AttributeValueMemberL)
	if !ok {
		r.fault(name)
		return nil
	}
	values := make([]string, 0, len(list.Value))
	for _, element := range list.Value {
		value, ok := element.(*types.AttributeValueMemberS)
		if !ok {
			r.fault(name)
			return nil
		}
		values = append(values, value.Value)
	}
	return values
}

// optionalAddresses returns a list of addresses, or nil.
func (r *attributes) optionalAddresses(name string) []netip.Addr {
	if _, there := r.item[name]; !there {
		return nil
	}
	texts := r.texts(name)
	addresses := make([]netip.Addr, len(texts))
	for i, s := range texts {
		address, err := netip.ParseAddr(s)
		if err != nil {
			r.fault(name)
		}
		addresses[i] = address
	}
	return addresses
}

// numbers returns a required list of whole numbers.
func (r *attributes) numbers(name string) []int64 {
	list, ok := r.item[name].(*types.AttributeValueMemberL)
	if !ok {
		r.fault(name)
		return nil
	}
	values := make([]int64, 0, len(list.Value))
	for _, element := range list.Value {
		value, ok := element.(*types.AttributeValueMemberN)
		if !ok {
			r.fault(name)
			return nil
		}
		n, err := strconv.ParseInt(value.Value, 10, 64)
		if err != nil {
			r.fault(name)
			return nil
		}
		values = append(values, n)
	}
	return values
}
