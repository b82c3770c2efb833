package gitlabapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"latchkey/pkg/clock"
	"latchkey/pkg/fault"
)

// Every text of a fault is made of these, and of nothing that a client sent.
var (
	faultOfField = regexp.MustCompile(`^([a-z_]+ (is invalid( \(write .*)?|is missing|is misspelled|is given more than once|does not have a valid value)|or a day as YYYY-MM-DD\))$`)
	faultOfAll   = regexp.MustCompile(`^(query is invalid|name of a parameter is not ASCII|body is invalid|body is not valid UTF-8|body is not a valid JSON object|body is too large \(maximum is [0-9]+ bytes\))$`)
)

// FuzzParams holds that whatever a client sends is read into clean values or
// refused as the client's fault, in words that repeat nothing of it.
func FuzzParams(f *testing.F) {
	for _, seed := range []struct{ query, contentType, body string }{
		{"name=n&scopes[]=api&scopes%5B%5D=read_api&page=2&revoked=True", "", ""},
		{"name=%ff&expires_at=2026-06-02&created_after=2026-03-04T05:06:07%2B01:00", "", ""},
		{"created_after=0&expiresAt=0&Name=n", "", ""}, {"sud%D0%BE=2&%EF%BB%BFsudo=2", "", ""}, {"%22sudo%22=2&sudo.=2&sudo%0B=2", "", ""},
		{"", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: attachment; name=\"sudo\"\r\n\r\n2\r\n--b--\r\n"}, {"a;b", "", ""}, {"%zz=1", "", ""}, {"description=a; b&state=active&state=active", "", ""},
		{"scopes[]=api&scopes=read_api&sudo[]=1&SUDO=2&[private_token]=x&granular_scopes[][access]=user", "", ""},
		{"expires_at=2026-03-04T05:06:07+0000&created_after=2026-03-04 05:06:07 %2B0200", "", ""},
		{"", "application/json", `{"name":"n","scopes":["api","x"],"expires_at":null,"page":5,"revoked":false,"private_token":"p"}`},
		{"", "application/json; charset=utf-8", `{"name":"a","name":"b","scopes":{"a":[1,{}]}} `},
		{"scopes=api&page=2", "application/json", `{"scopes":["api"],"scopes[]":["api"],"page":2,"scopes":["sudo"],"Sudo":1,"user_ids":[[1]]}`},
		{"", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"scopes[]\"; filename=\"f\"\r\n\r\nn\r\n--b--\r\n"},
		{"", "application/json", "null"}, {"", "application/json", `{"name":"\ud800\u0000","page":1e99}`}, {"", "application/json", "[[[["},
		{"", "application/x-www-form-urlencoded", "name=n&scopes=api,read_api&per_page=0"},
		{"", "application/x-www-form-urlencoded", "name=%&a;b"},
		{"", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nn\r\n--b--\r\n"},
		{"", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\nn\r\n--b--\r\n"},
		{"", "text/plain\xff", "name=n"},
	} {
		f.Add(seed.query, seed.contentType, seed.body)
	}
	f.Fuzz(func(t *testing.T, query, contentType, body string) {
		p, err := read(query, contentType, body)
		checkRefusal(t, err)
		for name := range p {
			if err == nil && strings.ContainsFunc(name, func(c rune) bool { return c > unicode.MaxASCII }) {
				t.Errorf("the name %q passes", name)
			}
		}
		for _, faulty := range checkValues(t, p) {
			checkRefusal(t, faulty)
		}
		if err != nil || body != "" || strings.TrimSpace(query) == "" { // a body of blanks is none
			return
		}
		// The same in a form means the same.
		form, err := read("", "application/x-www-form-urlencoded", query)
		if err == nil && !sameParams(p, form) {
			t.Errorf("%q is %v in a query and %v in a form", query, p, form)
		}
	})
}

func read(query, contentType, body string) (params, error) {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.URL = &url.URL{Path: "/", RawQuery: query}
	r.Header.Set("Content-Type", contentType)
	c := &call{w: httptest.NewRecorder(), r: r}
	err := c.read(MaxBody)
	return c.params, err
}

// checkRefusal wants a refusal to be the caller's fault, in fixed words.
func checkRefusal(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	status := (&call{}).replyTo(err).status
	var param *paramFault
	var unsupported *unsupportedBody
	switch {
	case errors.As(err, &unsupported):
		if status != http.StatusUnsupportedMediaType || strings.ContainsFunc(unsupported.value, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Errorf("status %d for %s %q", status, unsupported.header, unsupported.value)
		}
	case errors.As(err, &param):
		if status != http.StatusBadRequest || !errors.Is(err, fault.ErrInput) {
			t.Errorf("status %d for %v", status, err)
		}
		if faultOfAll.MatchString(param.text) {
			return
		}
		for part := range strings.SplitSeq(param.text, ", ") {
			if !faultOfField.MatchString(part) {
				t.Errorf("text of a refusal: %q", param.text)
			}
		}
	default:
		t.Errorf("neither served nor the caller's fault: %v", err)
	}
}

// checkValues takes every type of value out of p and returns what was refused.
func checkValues(t *testing.T, p params) []error {
	t.Helper()
	b := &binder{params: p}
	clean := func(value string) {
		if !utf8.ValidString(value) || strings.ContainsFunc(value, func(c rune) bool {
			return c == utf8.RuneError || unicode.IsControl(c) && !strings.ContainsRune("\r\n\t", c)
		}) {
			t.Errorf("text %q", value)
		}
	}
	clean(b.text("description"))
	before := len(b.faults)
	name := b.line("name", b.required("name"))
	clean(name)
	if len(b.faults) == before && strings.ContainsAny(name, "\r\n\t") {
		t.Errorf("name %q has several lines", name)
	}
	b.texts("scopes")
	b.values("tokens")
	b.ids("user_ids")
	b.array("scopes")
	if value, given := b.scalar("sudo"); p.given("sudo") && !slices.Contains(p["sudo"], nil) && (!given || p.has("sudo") && value == "") && len(b.faults) == 0 {
		t.Errorf("sudo is passed over in %v", p)
	}
	if day := b.day("expires_at"); !day.IsZero() {
		if again, err := clock.ParseDay(day.String()); err != nil || again != day {
			t.Errorf("day %v", day)
		}
	}
	if at := b.instant("created_after"); at.Location().String() != "UTC" {
		t.Errorf("instant %v", at)
	}
	b.boolean("revoked")
	if state := b.oneOf("state", "active", "inactive"); state != "" && state != "active" && state != "inactive" {
		t.Errorf("state %q", state)
	}
	page := b.paging()
	if page.page < 1 || page.perPage < 1 || page.perPage > maxPerPage || page.offset() < 0 {
		t.Errorf("page %+v", page)
	}
	_, secretErr := p.secret("private_token")
	return []error{b.faultWith(paging{page: 1, perPage: 1}), secretErr}
}

func sameParams(a, b params) bool { return reflect.DeepEqual(a, b) }
