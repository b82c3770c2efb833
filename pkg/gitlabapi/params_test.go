package gitlabapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A sent set of parameters, by name, in order.
type sent [][2]string

// spellings are the ways in which a client may send parameters with a POST.
func (s sent) spellings(tb testing.TB) map[string]request {
	tb.Helper()
	form := make([]string, len(s))
	var multi bytes.Buffer
	writer := multipart.NewWriter(&multi)
	object := map[string]any{}
	for i, p := range s {
		form[i] = url.QueryEscape(p[0]) + "=" + url.QueryEscape(p[1])
		check(tb, writer.WriteField(p[0], p[1]))
		if name, array := strings.CutSuffix(p[0], "[]"); array {
			list, _ := object[name].([]any)
			object[name] = append(list, p[1])
		} else {
			object[name] = p[1]
		}
	}
	check(tb, writer.Close())
	encoded, err := json.Marshal(object)
	check(tb, err)
	encodedForm := strings.Join(form, "&")
	return map[string]request{
		"query":             {target: "?" + encodedForm},
		"query beside null": {target: "?" + encodedForm, json: "null"},
		"query beside {}":   {target: "?" + encodedForm, json: " {} "},
		"form":              {form: encodedForm},
		"multipart":         {body: multi.String(), header: header("Content-Type", writer.FormDataContentType())},
		"JSON":              {json: string(encoded)},
		"JSON with charset": {body: string(encoded), header: header("Content-Type", "Application/JSON; charset=utf-8")},
		"form with charset": {body: encodedForm, header: header("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")},
		"half query half form": {
			target: "?" + strings.Join(form[:1], "&"), form: strings.Join(form[1:], "&"),
		},
	}
}

// A request means the same however its parameters are sent: the idempotency
// key of one spelling stands for all the others.
func TestParametersMeanTheSameInEverySpelling(t *testing.T) {
	w := newWorld(t)
	s := sent{
		{"name", "nightly export é 日"}, {"scopes[]", "read_api"}, {"scopes[]", "self_rotate"}, {"description", "a, b & c = d"},
		{"expires_at", "2026-06-02"}, {"unknown", "ignored"}, {"unknown[]", "ignored"},
	}
	seen := map[string]string{}
	for how, r := range s.spellings(t) {
		for door, send := range doors {
			r.function, r.method, r.target, r.bearer = "issue", "POST", ownTokens+strings.TrimPrefix(r.target, ownTokens), "owner"
			if r.header == nil {
				r.header = http.Header{}
			}
			r.header.Set(keyHeader, "one key")
			got := send(t, w, r)
			if got.status != 201 {
				t.Fatalf("%s through %s: %s", how, door, got)
			}
			seen[got.body] = how + " through " + door
		}
	}
	if len(seen) != 1 {
		t.Errorf("the same request has several replies: %v", seen)
	}
	for body := range seen {
		var reply struct {
			Name, Description, Token string
			Scopes                   []string
			ExpiresAt                string `json:"expires_at"`
		}
		check(t, json.Unmarshal([]byte(body), &reply))
		if fmt.Sprint(reply.Name, reply.Description, reply.Scopes, reply.ExpiresAt) != fmt.Sprint("nightly export é 日", "a, b & c = d", []string{"read_api", "self_rotate"}, "2026-06-02") {
			t.Errorf("not what was asked for: %s", body)
		}
		w.logs.secret(reply.Token)
	}
}

func TestParameters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	create := func(body string) request {
		return request{function: "issue", method: "POST", target: ownTokens, bearer: "owner", json: body}
	}
	list := func(query string) request {
		return request{function: "tokens", method: "GET", target: everyToken + query, bearer: "owner"}
	}
	withScopes := func(scopes string) request { return create(`{"name":"n","scopes":` + scopes + `}`) }
	until := func(day string) request { return create(`{"name":"n","scopes":["api"],"expires_at":` + day + `}`) }
	const (
		noName, noScopes, noNothing = "name is missing", "scopes is missing", "name is missing, scopes is missing"
		badScopes, typeScopes       = "scopes does not have a valid value", "scopes is invalid"
		badDay, badJSON             = "expires_at is invalid (write a day as YYYY-MM-DD)", "body is not a valid JSON object"
	)
	for _, c := range []struct {
		name string
		request
		want string // error; "" when the request is served
	}{
		{"no body", create(""), noNothing},
		{"null body", create("null"), noNothing},
		{"empty object", create("{}"), noNothing},
		{"blank body", create(" \n"), noNothing},
		{"null values", create(`{"name":null,"scopes":null}`), noNothing},
		{"faults in the order of declaration", create(`{"expires_at":"x","description":["d"],"scopes":5,"name":{}}`),
			"name is invalid, description is invalid, scopes is invalid, " + badDay},
		{"array body", create(`["name"]`), badJSON},
		{"string body", create(`"name"`), badJSON},
		{"number body", create(`5`), badJSON},
		{"two bodies", create(`{} {}`), badJSON},
		{"null and more", create(`null null`), badJSON},
		{"half a body", create(`{"name":"n"`), badJSON},
		{"name without value", create(`{"name"}`), badJSON},
		{"trailing comma", create(`{"name":"n",}`), badJSON},
		{"byte order mark", create("\ufeff{}"), badJSON},
		{"deep nesting", create(`{"name":` + strings.Repeat("[", 30000) + strings.Repeat("]", 30000) + `}`), badJSON},
		{"deep nesting of objects", create(strings.Repeat(`{"a":`, 10100) + "1" + strings.Repeat("}", 10100)), badJSON},
		{"name twice in one object", create(`{"name":"a","name":"b","scopes":["api"]}`), "name is given more than once"},
		{"name in query and body", request{function: "issue", method: "POST", target: ownTokens + "?name=b", bearer: "owner", json: `{"name":"a","scopes":["api"]}`},
			"name is given more than once"},
		{"name twice in a form", request{function: "issue", method: "POST", target: ownTokens, bearer: "owner", form: "name=a&name=b&scopes=api"},
			"name is given more than once"},
		{"escaped name of a parameter", create(`{"n\u0061me":"n","scopes":["api"]}`), ""},
		{"another case is misspelled", create(`{"Name":"n","scopes":["api"]}`), "name is misspelled"},

		{"scopes as array", withScopes(`["api"]`), ""},
		{"scopes as text", withScopes(`"api"`), ""},
		{"scopes with commas", withScopes(`"api, read_api,,"`), ""},
		{"scopes twice", withScopes(`["api","api"]`), ""},
		{"scopes as name[]", create(`{"name":"n","scopes[]":["api"]}`), ""},
		{"scopes repeated", request{function: "issue", method: "POST", target: ownTokens + "?name=n&scopes=api&scopes=read_api", bearer: "owner"}, ""},
		{"scopes[] in a query", request{function: "issue", method: "POST", target: ownTokens + "?name=n&scopes[]=api&scopes%5B%5D=read_api", bearer: "owner"}, ""},
		{"scopes empty", withScopes(`[]`), badScopes},
		{"scopes of nothing", withScopes(`""`), badScopes},
		{"scopes of commas", withScopes(`",,"`), badScopes},
		{"scopes of one empty", withScopes(`[""]`), badScopes},
		{"scopes unknown", withScopes(`["api","unknown"]`), badScopes},
		{"scopes in upper case", withScopes(`["API"]`), badScopes},
		{"scopes with a space", withScopes(`["api "]`), badScopes},
		{"scopes with a wildcard", withScopes(`["*"]`), badScopes},
		{"scopes as one string in an array", withScopes(`["api,read_api"]`), badScopes},
		{"scopes of numbers", withScopes(`[1]`), typeScopes},
		{"scopes of null", withScopes(`[null]`), typeScopes},
		{"scopes of arrays", withScopes(`[["api"]]`), typeScopes},
		{"scopes as object", withScopes(`{"api":true}`), typeScopes},
		{"scopes as truth", withScopes(`true`), typeScopes},

		{"day", until(`"2026-06-02"`), ""},
		{"day of a timestamp", until(`"2026-06-02T23:59:59+14:00"`), ""},
		{"day of a timestamp with fraction", until(`"2026-06-02T00:00:00.123Z"`), ""},
		{"day null", until(`null`), ""},
		{"day empty", until(`""`), ""},
		{"day as number", until(`20260602`), badDay},
		{"day as truth", until(`false`), badDay},
		{"day as array", until(`["2026-06-02"]`), "expires_at is invalid"},
		{"day in another order", until(`"02.06.2026"`), badDay},
		{"day without zeros", until(`"2026-6-2"`), badDay},
		{"day with a space", until(`" 2026-06-02"`), badDay},
		{"day that is not", until(`"2026-02-29"`), badDay},
		{"day far ahead", until(`"10000-01-01"`), badDay},
		{"day in the year nought", until(`"0000-01-01"`), badDay},
		{"timestamp without zone for a day", until(`"2026-06-02T00:00:00"`), badDay},

		{"name as number", create(`{"name":5,"scopes":["api"]}`), ""},
		{"name as truth", create(`{"name":true,"scopes":["api"]}`), ""},
		{"name as array", create(`{"name":["n"],"scopes":["api"]}`), "name is invalid"},
		{"name as object", create(`{"name":{"n":1},"scopes":["api"]}`), "name is invalid"},
		{"name with a line break", create(`{"name":"a\nb","scopes":["api"]}`), "name is invalid"},
		{"name with a tab", create(`{"name":"a\tb","scopes":["api"]}`), "name is invalid"},
		{"name with NUL", create(`{"name":"a\u0000b","scopes":["api"]}`), "name is invalid"},
		{"name with escape", create(`{"name":"a\u001bb","scopes":["api"]}`), "name is invalid"},
		{"name with DEL", create(`{"name":"a\u007fb","scopes":["api"]}`), "name is invalid"},
		{"name with a C1 control", create(`{"name":"a\u0085b","scopes":["api"]}`), "name is invalid"},
		{"name with half a surrogate", create(`{"name":"a\ud800b","scopes":["api"]}`), "name is invalid"},
		{"name in broken UTF-8", request{function: "issue", method: "POST", target: ownTokens + "?name=a%ffb&scopes=api", bearer: "owner"}, "name is invalid"},
		{"name in overlong UTF-8", request{function: "issue", method: "POST", target: ownTokens + "?name=a%c0%aeb&scopes=api", bearer: "owner"}, "name is invalid"},
		{"name in a form in broken UTF-8", request{function: "issue", method: "POST", target: ownTokens, bearer: "owner", form: "name=a%ffb&scopes=api"}, "name is invalid"},
		{"description with lines", create(`{"name":"n","scopes":["api"],"description":"a\r\n\tb"}`), ""},
		{"description with a bell", create(`{"name":"n","scopes":["api"],"description":"a\u0007"}`), "description is invalid"},
		{"description as array", create(`{"name":"n","scopes":["api"],"description":[]}`), "description is invalid"},

		{"list", list("?user_id=2&state=active&revoked=false&search=of&created_after=2026-03-01&sort=name_desc"), ""},
		{"sort unknown", list("?sort=size_up"), ""},
		{"user id as text", list("?user_id=2x"), "user_id is invalid"},
		{"user id with fraction", list("?user_id=2.0"), "user_id is invalid"},
		{"user id in hexadecimal", list("?user_id=0x2"), "user_id is invalid"},
		{"user id beyond 64 bits", list("?user_id=99999999999999999999"), "user_id is invalid"},
		{"user id twice", list("?user_id=2&user_id=3"), "user_id is given more than once"},
		{"user id empty", list("?user_id="), ""},
		{"page below one", list("?page=-5"), ""},
		{"page as text", list("?page=x"), "page is invalid"},
		{"page empty", list("?page=&per_page="), ""},
		{"per page nought", list("?per_page=0"), "per_page does not have a valid value"},
		{"per page below nought", list("?per_page=-1"), "per_page does not have a valid value"},
		{"per page above", list("?per_page=101"), ""},
		{"per page far above", list("?per_page=9223372036854775807"), ""},
		{"state empty", list("?state="), ""},
		{"state in upper case", list("?state=ACTIVE"), "state does not have a valid value"},
		{"instants", list("?created_after=2026-03-04T05:06:07Z&created_before=2026-03-04T05:06:07.089%2B01:00&last_used_after=2026-03-04T05:06:07&last_used_before=2026-03-04+05:06:07"), ""},
		{"instant with an unescaped plus", list("?created_after=2026-03-04T05:06:07+01:00"), ""},
		{"instant as number", list("?created_before=1773907200"), "created_before is invalid (write a time as YYYY-MM-DDThh:mm:ssZ, or a day as YYYY-MM-DD)"},
		{"instant with a bad hour", list("?last_used_after=2026-03-04T25:00:00Z"), "last_used_after is invalid (write a time as YYYY-MM-DDThh:mm:ssZ, or a day as YYYY-MM-DD)"},
		{"day as instant", list("?expires_after=2026-03-04T05:06:07Z"), ""},
		{"search in broken UTF-8", list("?search=%ff"), "search is invalid"},
		{"semicolon in the query", list("?search=a%3Bb"), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := w.snapshot(t)
			for door, send := range doors {
				got := send(t, w, c.request)
				if c.want == "" {
					if got.status >= 300 {
						t.Errorf("through %s: %s", door, got)
					}
					continue
				}
				if got.status != 400 || got.field(t, "error") != c.want {
					t.Errorf("through %s: %s\nwant %q", door, got, c.want)
				}
				if w.snapshot(t) != before {
					t.Fatalf("through %s: a refusal has changed the table", door)
				}
			}
		})
	}
}

func TestBooleans(t *testing.T) {
	w := newWorld(t)
	revoked := func(value string) (int, string) {
		got := throughLambda(t, w, request{function: "tokens", method: "GET", target: everyToken + "?revoked=" + url.QueryEscape(value), bearer: "owner"})
		return got.status, got.header.Get("X-Total")
	}
	for _, word := range []string{"true", "t", "1", "yes", "y", "on"} {
		for _, value := range []string{word, strings.ToUpper(word), strings.ToUpper(word[:1]) + word[1:]} {
			if status, total := revoked(value); status != 200 || total != "1" {
				t.Errorf("revoked=%s: %d with %s tokens", value, status, total)
			}
		}
	}
	for _, word := range []string{"false", "f", "0", "no", "n", "off"} {
		for _, value := range []string{word, strings.ToUpper(word), strings.ToUpper(word[:1]) + word[1:]} {
			if status, total := revoked(value); status != 200 || total != "6" {
				t.Errorf("revoked=%s: %d with %s tokens", value, status, total)
			}
		}
	}
	for _, value := range []string{"tRUE", "2", "-1", "ja", "null", "true ", "truefalse", "00"} {
		if status, _ := revoked(value); status != 400 {
			t.Errorf("revoked=%s: %d", value, status)
		}
	}
	if status, total := revoked(""); status != 200 || total != "7" {
		t.Errorf("revoked is empty: %d with %s tokens", status, total)
	}
	account := func(admin string) request {
		return request{function: "directory", method: "POST", target: "/api/v4/users", bearer: "root",
			json: `{"email":"a@example.test","name":"n","username":"a","password":"p","admin":` + admin + `}`}
	}
	for _, value := range []string{`[]`, `{}`, `2`, `"maybe"`, `[true]`} {
		if got := throughLambda(t, w, account(value)); got.status != 400 || got.field(t, "error") != "admin is invalid" {
			t.Errorf("admin %s: %s", value, got)
		}
	}
	if got := throughLambda(t, w, account("true")); got.status != 201 || got.field(t, "is_admin") != true {
		t.Errorf("admin as JSON truth: %s", got)
	}
}

// The Go client sends bare days as instants and full timestamps as days.
func TestInstantsAndDaysAreExact(t *testing.T) {
	w := newWorld(t) // its tokens were made 2026-03-18T08:00:00Z and end 2026-06-27, one on 2026-03-19
	for query, want := range map[string]string{
		"created_after=2026-03-18T08:00:00Z":             "7",
		"created_after=2026-03-18T08:00:01Z":             "0",
		"created_before=2026-03-18T08:00:00":             "7",
		"created_before=2026-03-18T07:59:59":             "0",
		"created_after=2026-03-18T10:00:00%2B02:00":      "7",
		"created_after=2026-03-18":                       "7",
		"created_after=2026-03-19":                       "0",
		"created_before=2026-03-18":                      "0",
		"expires_after=2026-06-27":                       "6",
		"expires_after=2026-06-28":                       "0",
		"expires_before=2026-06-27":                      "1",
		"expires_before=2026-06-28":                      "7",
		"expires_before=2026-06-27T23:00:00-12:00":       "1",
		"last_used_after=2026-03-19T08:00:00Z":           "7",
		"unused_since=2026-03-19T08:00:00Z":              "0",
		"unused_since=2026-03-19T08:00:01Z":              "7",
		"created_after=":                                 "7",
		"state=active":                                   "5",
		"state=inactive":                                 "2",
		"state=inactive&revoked=false":                   "1",
		"search=PROFILE":                                 "1",
		"created_after=2026-03-18&search=of&unknown=%00": "0",
	} {
		got := throughLambda(t, w, request{function: "tokens", method: "GET", target: everyToken + "?" + query, bearer: "owner"})
		if got.status != 200 || got.header.Get("X-Total") != want {
			t.Errorf("%s: %s tokens, want %s (%d)", query, got.header.Get("X-Total"), want, got.status)
		}
	}
}

func TestLifetimeLimits(t *testing.T) {
	w := newWorld(t)
	for day, want := range map[string]int{
		"0001-01-01": 422, "2026-03-18": 422, "2026-03-19": 422, "2026-03-20": 201,
		"2027-03-19": 201, "2027-03-20": 422, "9999-12-31": 422,
	} {
		before := w.snapshot(t)
		got := throughLambda(t, w, request{
			function: "issue", method: "POST", target: forOwner, bearer: "root", json: `{"name":"n","scopes":["api"],"expires_at":"` + day + `"}`,
		})
		if got.status != want {
			t.Errorf("until %s: %s", day, got)
		}
		if want == 422 && w.snapshot(t) != before {
			t.Errorf("until %s: refused and written", day)
		}
	}
	// Both sides of midnight.
	for at, want := range map[string]int{"23:59:59": 201, "24:00:00": 422} {
		w := newWorld(t)
		w.clock.Set(now.Truncate(24 * 3600e9).Add(map[string]duration{"23:59:59": day - second, "24:00:00": day}[at]))
		got := throughLambda(t, w, request{
			function: "issue", method: "POST", target: forOwner, bearer: "root", json: `{"name":"n","scopes":["api"],"expires_at":"2026-03-20"}`,
		})
		if got.status != want {
			t.Errorf("at %s: %s", at, got)
		}
	}
}

func TestLengths(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		field string
		n     int
		want  int
	}{
		{"name", 255, 201}, {"name", 256, 422}, {"name", 0, 422},
		{"description", 255, 201}, {"description", 256, 422}, {"description", 0, 201},
	} {
		for _, letter := range []string{"x", "é", "日", "😀"} {
			fields := map[string]any{"name": "n", "scopes": []string{"api"}}
			fields[c.field] = strings.Repeat(letter, c.n)
			body, err := json.Marshal(fields)
			check(t, err)
			got := throughLambda(t, w, request{function: "issue", method: "POST", target: forOwner, bearer: "root", json: string(body)})
			if got.status != c.want {
				t.Errorf("%s of %d %s: %s", c.field, c.n, letter, got)
			}
			if c.n > 0 && strings.Contains(w.logs.String(), strings.Repeat(letter, 20)) {
				t.Errorf("%s was logged", c.field)
			}
		}
	}
}

func TestBodySize(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const limit = 64 << 10
	object := func(size int) string {
		start, end := `{"name":"n","scopes":["api"],"ignored":"`, `"}`
		return start + strings.Repeat("x", size-len(start)-len(end)) + end
	}
	for _, c := range []struct {
		name string
		body string
		want int
	}{
		{"64 KiB", object(limit), 201}, {"64 KiB and a byte", object(limit + 1), 400}, {"1 MiB", object(1 << 20), 400},
	} {
		for door, send := range doors {
			before := w.snapshot(t)
			got := send(t, w, request{function: "issue", method: "POST", target: ownTokens, bearer: "owner", json: c.body})
			if got.status != c.want {
				t.Errorf("%s through %s: %d %s", c.name, door, got.status, got.body)
			}
			if c.want == 400 && w.snapshot(t) != before {
				t.Errorf("%s through %s: refused and written", c.name, door)
			}
		}
	}
	if strings.Contains(w.logs.String(), "xxxxxxxx") {
		t.Error("a body was logged")
	}
}

func TestIdempotencyKeys(t *testing.T) {
	w := newWorld(t)
	create := func(keys ...string) request {
		return request{function: "issue", method: "POST", target: forOwner, bearer: "root", json: validCreation, header: http.Header{keyHeader: keys}}
	}
	for _, c := range []struct {
		name string
		keys []string
		want int
	}{
		{"one character", []string{"k"}, 201},
		{"255 characters", []string{strings.Repeat("k", 255)}, 201},
		{"every printable character", []string{"!\"#$%&'()*+,-./09:;<=>?@AZ[\\]^_`az{|}~ a"}, 201},
		{"empty", []string{""}, 400},
		{"256 characters", []string{strings.Repeat("k", 256)}, 400},
		{"beyond ASCII", []string{"clé"}, 400},
		{"twice", []string{"k", "k"}, 400},
		{"two different ones", []string{"k", "l"}, 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := w.snapshot(t)
			for door, send := range doors {
				got := send(t, w, create(c.keys...))
				if got.status != c.want {
					t.Errorf("through %s: %s", door, got)
				}
			}
			if c.want == 400 && w.snapshot(t) != before {
				t.Error("refused and written")
			}
		})
	}
	// A control character cannot come through a socket, but through an event.
	event := create("k").event(w)
	event["multiValueHeaders"] = http.Header{"private-token": {w.bearers["root"]}, "content-type": {"application/json"}, "idempotency-key": {"a\x01b"}}
	if got := invoke(t, w.consoles()["issue"], "POST", event); got.status != 400 {
		t.Errorf("control character: %s", got)
	}
}

// A key stands for one request of one caller, and gives the same bearer again.
func TestIdempotentRetries(t *testing.T) {
	w := newWorld(t)
	create := func(bearer, target, body string) request {
		return request{function: "issue", method: "POST", target: target, bearer: bearer, json: body, header: header(keyHeader, "retry")}
	}
	first := throughLambda(t, w, create("root", forOwner, validCreation))
	after := w.snapshot(t)
	again := throughHTTP(t, w, create("root", forOwner+"/", validCreation))
	if first.status != 201 || again.body != first.body || w.snapshot(t) != after {
		t.Errorf("retry: %s\nfirst: %s", again, first)
	}
	for name, other := range map[string]request{
		"another name":  create("root", forOwner, `{"name":"other","scopes":["api"]}`),
		"another owner": create("root", "/api/v4/users/3/personal_access_tokens", validCreation),
		"another route": create("root", ownTokens, validCreation),
		"a rotation":    create("root", everyToken+"/"+otherToken+"/rotate", `{"expires_at":"2026-06-02"}`),
	} {
		if got := throughLambda(t, w, other); got.status != 422 {
			t.Errorf("the key for %s: %s", name, got)
		}
	}
	if w.snapshot(t) != after {
		t.Error("a key that stands for another request has changed the table")
	}
	if got := throughLambda(t, w, create("owner", ownTokens, validCreation)); got.status != 201 || got.body == first.body {
		t.Errorf("somebody else's key: %s", got)
	}

	rotate := request{function: "issue", method: "POST", target: ownToken + "/rotate", bearer: "rotating", header: header(keyHeader, "lost")}
	rotated := throughLambda(t, w, rotate)
	retried := throughHTTP(t, w, rotate)
	if rotated.status != 200 || retried.body != rotated.body {
		t.Errorf("retry of a self-rotation: %s\nfirst: %s", retried, rotated)
	}
	w.bearers["fresh"] = rotated.field(t, "token").(string)
	if got := throughLambda(t, w, request{function: "tokens", method: "GET", target: ownToken, bearer: "fresh"}); got.status != 200 {
		t.Errorf("the retry of a self-rotation has ended its successor: %s", got)
	}
}
