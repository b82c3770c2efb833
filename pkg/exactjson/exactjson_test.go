package exactjson_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"latchkey/pkg/exactjson"
)

type thing struct {
	Name  string            `json:"name"`
	List  []thing           `json:"list,omitempty"`
	Words []string          `json:"words,omitempty"`
	Yes   bool              `json:"yes,omitempty"`
	Count int               `json:"count,omitempty"`
	Names map[string]string `json:"names,omitempty"`
	inner int               // is not read
}

func TestDecodeReadsWhatIsThere(t *testing.T) {
	var got thing
	_, err := exactjson.Decode([]byte(" {\"name\": \"ü\", \"list\": [{\"name\": \"b\"}, {}], \"words\": [\"x\", \"\"], \"yes\": true, \"count\": 7, \"names\": {\"a\": \"b\"}}\n"), &got)
	want := thing{inner: 0, Name: "ü", List: []thing{{Name: "b"}, {}}, Words: []string{"x", ""}, Yes: true, Count: 7, Names: map[string]string{"a": "b"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDecodeSaysWhereAFaultIs(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"nothing":                       {"", `line 1, column 1: unexpected end of JSON input`},
		"a cut file":                    {"{\n \"name\": \"a\",\n", `line 3, column 1: unexpected end of JSON input`},
		"a comma too many":              {"{\n \"words\": [\"a\",]\n}", `line 2, column 16: invalid character ']' looking for beginning of value`},
		"a key without quotes":          {"{name: 1}", `line 1, column 2: invalid character 'n' looking for beginning of object key string`},
		"a second value":                {"{}\n{}", `line 2, column 1: invalid character '{' after top-level value`},
		"rubbish behind":                {"{} x", `line 1, column 4: invalid character 'x' after top-level value`},
		"no UTF-8":                      {"{\n\"name\": \"\xff\"}", `line 2, column 10: not UTF-8`},
		"a byte order mark":             {"\ufeff{}", `line 1, column 1: invalid character 'ï' looking for beginning of value`},
		"null":                          {`null`, `line 1, column 1: the file wants an object, not null`},
		"a list":                        {` []`, `line 1, column 2: the file wants an object, not a list`},
		"null for a text":               {`{"name": null}`, `line 1, column 10: name wants a text, not null`},
		"a text for a list":             {`{"words": "a"}`, `line 1, column 11: words wants a list, not a text`},
		"a number for a text":           {"{\"words\": [\"a\",\n 1]}", `line 2, column 2: words[1] wants a text, not a number`},
		"a text for a boolean":          {`{"yes": "true"}`, `line 1, column 9: yes wants true or false, not a text`},
		"a fraction":                    {`{"count": 1.5}`, `line 1, column 11: count wants a whole number, not 1.5`},
		"an unknown key":                {`{"nam": "a"}`, `line 1, column 2: key "nam" is unknown; there are name, list, words, yes, count, names`},
		"an unknown key with more":      {`{"x": {"name": [1, {"y": 2, "y": 3}]}, "name": 1}`, "line 1, column 2: key \"x\" is unknown; there are name, list, words, yes, count, names\nline 1, column 48: name wants a text, not a number"},
		"the empty key":                 {`{"": 1}`, `line 1, column 2: key "" is unknown; there are name, list, words, yes, count, names`},
		"another spelling of a key":     {`{"Name": "a"}`, `line 1, column 2: key "Name" is unknown; there are name, list, words, yes, count, names`},
		"a key twice":                   {"{\"name\": \"a\",\n\"name\": \"b\"}", `line 2, column 1: key "name" stands twice`},
		"a key twice, once escaped":     {`{"name": "a", "n\u0061me": "b"}`, `line 1, column 15: key "name" stands twice`},
		"a key of a map twice":          {`{"names": {"a": "b", "a": "c"}}`, `line 1, column 22: key "a" stands twice`},
		"columns behind other letters":  {`{"name": "äöü", "yes": 1}`, `line 1, column 24: yes wants true or false, not a number`},
		"an unknown key further inside": {"{\"list\": [{},\n\t{\"list\": [{\"z\": 1}]}]}", `line 2, column 13: key "z" is unknown; there are name, list, words, yes, count, names`},
	} {
		t.Run(name, func(t *testing.T) {
			got := thing{Name: "before"}
			places, err := exactjson.Decode([]byte(test.text), &got)
			if err == nil || err.Error() != test.want {
				t.Errorf("%v\nwant %s", err, test.want)
			}
			if places != nil || got.Name != "before" || got.List != nil {
				t.Errorf("a fault leaves %+v", got)
			}
		})
	}
}

func TestPlacesNameTheValueOrWhatIsAroundIt(t *testing.T) {
	var v thing
	places, err := exactjson.Decode([]byte("{\n  \"list\": [\n    {\"words\": [\"a\", \"b\"]}\n  ]\n}"), &v)
	if err != nil || places.Err() != nil {
		t.Fatal(err, places.Err())
	}
	places.Fault("list[0].words[1]", "second")
	places.Fault("list[0].names.x", "of the thing")
	places.Fault("count", "of the file")
	places.Fault("list[7]", "of the list")
	if places.Line("list[0].words[1]") != 3 || places.Line("none") != 1 {
		t.Error("a value is in another line")
	}
	if got, want := places.Err().Error(), "line 1, column 1: of the file\nline 2, column 11: of the list\nline 3, column 5: of the thing\nline 3, column 21: second"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// Breaks if a backend can find another member in an object than Latchkey did.
func TestMembers(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: `{}`, ` {"a": 1, "b": {"a": [2]}} `: `{"a":1,"b":{"a":[2]}}`, `{"\u0061": null, "b": 2}`: `{"a":null,"b":2}`,
		`{"a": 1, "A": 1}`: "", "{\"as\": 1, \"A\u017f\": 2}": "", // the same member to some readers
		`{"a": 1, "a": 1}`: "", `{"a": 1, "\u0061": 2}`: "", `{"a": 1}{"a": 2}`: "", `{"a": 1} x`: "", "{\"a\": 1}\x00": "",
		`{"a": 1`: "", `{"a": 1,}`: "", `{"a": 1]`: "", `{"a"}`: "", `{1: 2}`: "", `[]`: "", `"a"`: "", `null`: "", ``: "",
	} {
		members, err := exactjson.Members([]byte(text))
		if want == "" {
			if err == nil || members != nil {
				t.Errorf("%s has the members %s", text, members)
			}
			continue
		}
		if got, failed := json.Marshal(members); err != nil || failed != nil || string(got) != want {
			t.Errorf("%s has the members %s, %v", text, got, err)
		}
	}
}

// Whatever Decode accepts, encoding/json reads to the same value, and writing it changes nothing.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"name":"a","name":"b"}`, `{"NAME":"a"}`, `{"list":[{"words":["a"]},{}],"names":{"a":"b"},"count":-3,"yes":false}`,
		`null`, `[`, "\xff", `{"name":"\ud800"}`, `{"count":1e3}`, `{"x":[[[{}]]]}`, "{}\x00", `{"name":"a"} {}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, plain thing
		if _, err := exactjson.Decode(text, &got); err != nil {
			return
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&plain); err != nil || !reflect.DeepEqual(got, plain) {
			t.Fatalf("%+v, encoding/json says %+v, %v", got, plain, err)
		}
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var second thing
		if _, err := exactjson.Decode(again, &second); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	})
}
