package exactjson

import (
	"bytes"
	"encoding/json"
	"errors"
)

var errMembers = errors.New("not a JSON object with different members")

// Members returns the members of a JSON object. It refuses a member that is there twice, of which readers
// take the first or the last, and anything behind the object. Names that differ in case only are different
// members here, but not to every reader.
func Members(object []byte) (map[string]json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(object))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errMembers
	}
	members := map[string]json.RawMessage{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, errMembers
		}
		key, isText := name.(string)
		if _, twice := members[key]; twice || !isText {
			return nil, errMembers
		}
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
