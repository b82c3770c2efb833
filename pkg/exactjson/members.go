package exactjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode"
)

var errMembers = errors.New("not a JSON object with different members")

// Members returns the members of a JSON object. It refuses a member that is there twice, of which readers
// take the first or the last, and anything behind the object. Names that differ in case only are the same
// member, because some readers take them for it (encoding/json: Unmarshal).
func Members(object []byte) (map[string]json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(object))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errMembers
	}
	members, seen := map[string]json.RawMessage{}, map[string]bool{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, errMembers
		}
		key, isText := name.(string)
		folded := strings.Map(func(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }, key) // the long s is an s
		if seen[folded] || !isText {
			return nil, errMembers
		}
		seen[folded] = true
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, errMembers
		}
		members[key] = value
	}
	if _, err := decoder.Token(); err != nil { // the closing brace
		return nil, errMembers
	}
	if len(bytes.TrimSpace(object[decoder.InputOffset():])) > 0 {
		return nil, errMembers
	}
	return members, nil
}
