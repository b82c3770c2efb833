package gitlabapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"latchkey/pkg/clock"
)

// MaxBody is the largest request body, in bytes. The longest useful request has a few hundred
// bytes.
const MaxBody = 64 << 10

// params are the parameters of a request, from its query and its body. A value is a JSON value:
// string, json.Number, bool, nil, []any or map.
type params map[string][]any

// A paramFault is the text of a 400 in the shape of parameter validation.
type paramFault struct{ text string }

func (f *paramFault) Error() string { return f.text }

func (f *paramFault) reply(*call) *reply { return failure(http.StatusBadRequest, f.text) }

// An unsupportedType is the content type of a body that is not read.
type unsupportedType struct{ contentType string }

// Error leaves the type out, because a client can write anything into it.
func (u *unsupportedType) Error() string { return "content type of the body is not supported" }

func (u *unsupportedType) reply(*call) *reply {
	return failure(http.StatusUnsupportedMediaType, fmt.Sprintf("The provided content-type '%s' is not supported.", u.contentType))
}

// read reads the parameters of the query and then of the body, which has at most maxBody bytes. If
// it fails, the parameters up to the fault are available.
func (c *call) read(maxBody int64) error {
	p, r := params{}, c.r
	c.params = p
	query, err := url.ParseQuery(r.URL.RawQuery)
	p.addForm(query)
	if err != nil {
		return paramError("query is invalid")
	}
	if r.Body == nil {
		return nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.w, r.Body, maxBody))
	if err != nil {
		return paramError(fmt.Sprintf("body is too large (maximum is %d bytes)", maxBody))
	}
	if len(bytes.TrimSpace(body)) == 0 || r.Method == http.MethodGet || r.Method == http.MethodHead {
		return nil
	}
	contentType := r.Header.Get("Content-Type")
	media, attributes, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = ""
	}
	switch media {
	case "application/json":
		return p.addJSON(body)
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return paramError("body is invalid")
		}
		p.addForm(form)
		return nil
	case "multipart/form-data":
		form, err := multipart.NewReader(bytes.NewReader(body), attributes["boundary"]).ReadForm(maxBody)
		if err != nil || len(form.File) > 0 {
			return paramError("body is invalid")
		}
		p.addForm(form.Value)
		return nil
	default:
		return &unsupportedType{printableType(contentType)}
	}
}

// printableType returns a content type only if a reply can safely repeat it.
func printableType(contentType string) string {
	const longest = 100
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, contentType[:min(len(contentType), longest)])
}

func (p params) addForm(form url.Values) {
	for name, values := range form {
		for _, value := range values {
			p[name] = append(p[name], value)
		}
	}
}

// addJSON reads an object, or the null that some clients send instead of no body.
func (p params) addJSON(body []byte) error {
	if !utf8.Valid(body) {
		return paramError("body is not valid UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	read := params{}
	if err := read.decode(decoder); err != nil {
		return paramError("body is not a valid JSON object")
	}
	for name, values := range read {
		p[name] = append(p[name], values...)
	}
	return nil
}

var errNoObject = errors.New("not one JSON object")

// decode reads name by name, because a map would keep the last of two values
// with the same name, and another reader might keep the first.
func (p params) decode(decoder *json.Decoder) error {
	start, err := decoder.Token()
	if err != nil {
		return err
	}
	if start != nil && start != json.Delim('{') {
		return errNoObject
	}
	for start != nil && decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		var value any
		if err := decoder.Decode(&value); err != nil {
			return err
		}
		key, _ := name.(string) // names are always strings
		p[key] = append(p[key], value)
	}
	if start != nil {
		if _, err := decoder.Token(); err != nil {
			return err
		}
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errNoObject
	}
	return nil
}

func (p params) has(name string) bool {
	for _, value := range p[name] {
		if value != nil && value != "" {
			return true
		}
	}
	return false
}

// secret returns a parameter that carries a bearer.
func (p params) secret(name string) (string, error) {
	b := binder{params: p}
	value, _ := b.scalar(name)
	return value, b.fault()
}

// A binder reads typed values from parameters and collects every fault, in the
// order of reading.
type binder struct {
	params params
	faults []string
}

// fault returns all faults as one error, or nil.
func (b *binder) fault() error {
	if len(b.faults) == 0 {
		return nil
	}
	return paramError(strings.Join(b.faults, ", "))
}

func (b *binder) reject(name, problem string) { b.faults = append(b.faults, name+" "+problem) }

// scalar returns the text of a parameter that may be given once, and whether it is given. Null
// counts as absent.
func (b *binder) scalar(name string) (string, bool) {
	values := b.params[name]
	switch {
	case len(values) == 0, len(values) == 1 && values[0] == nil:
		return "", false
	case len(values) > 1:
		b.reject(name, "is given more than once")
		return "", false
	}
	switch value := values[0].(type) {
	case string:
		if !printable(value) {
			b.reject(name, "is invalid")
			return "", false
		}
		return value, true
	case json.Number:
		return value.String(), true
	case bool:
		return strconv.FormatBool(value), true
	default:
		b.reject(name, "is invalid")
		return "", false
	}
}

// printable refuses broken UTF-8, the replacement character, and control characters. None of them
// belongs in a name, a mail or a log.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r'
	})
}

// required returns a required text, which may be blank.
func (b *binder) required(name string) string {
	before := len(b.faults)
	value, given := b.scalar(name)
	if !given && len(b.faults) == before {
		b.reject(name, "is missing")
	}
	return value
}

func (b *binder) text(name string) string {
	value, _ := b.scalar(name)
	return value
}

// optional returns a text, or nil if it is empty or absent.
func (b *binder) optional(name string) *string {
	if value, _ := b.scalar(name); value != "" {
		return &value
	}
	return nil
}

// line returns a text without line breaks.
func (b *binder) line(name, value string) string {
	if strings.ContainsAny(value, "\r\n\t") {
		b.reject(name, "is invalid")
	}
	return value
}

// texts returns an array of strings, or nil. It may be a JSON array or repeated as name[]; one
// string with commas is accepted too.
func (b *binder) texts(name string) []string {
	var texts []string
	add := func(value any) bool {
		text, ok := value.(string)
		if ok {
			texts = append(texts, text)
		}
		return ok
	}
	values := append(append([]any{}, b.params[name]...), b.params[name+"[]"]...)
	for _, value := range values {
		ok := true
		switch value := value.(type) {
		case nil:
		case []any:
			texts = append(texts, make([]string, 0, len(value))...)
			for _, element := range value {
				ok = ok && add(element)
			}
			if len(value) == 0 && texts == nil {
				texts = []string{}
			}
		case string:
			for part := range strings.SplitSeq(value, ",") {
				if part = strings.TrimSpace(part); part != "" {
					texts = append(texts, part)
				}
			}
			if texts == nil {
				texts = []string{}
			}
		default:
			ok = false
		}
		if !ok {
			b.reject(name, "is invalid")
			return nil
		}
	}
	return texts
}

// values returns strings exactly as sent: a JSON array, a parameter repeated as name[], or a single
// one.
func (b *binder) values(name string) (values []string) {
	for _, given := range append(append([]any{}, b.params[name]...), b.params[name+"[]"]...) {
		if given == nil {
			continue
		}
		elements, several := given.([]any)
		if !several {
			elements = []any{given}
		}
		for _, element := range elements {
			value, ok := element.(string)
			if !ok {
				b.reject(name, "is invalid")
				return nil
			}
			values = append(values, value)
		}
	}
	return values
}

// integer returns an optional whole number, or fallback.
func (b *binder) integer(name string, fallback int64) int64 {
	value, given := b.scalar(name)
	if !given || value == "" {
		return fallback
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		b.reject(name, "is invalid")
		return fallback // and not the nearest int64
	}
	return n
}

// boolean returns an optional truth value, or nil.
func (b *binder) boolean(name string) *bool {
	value, given := b.scalar(name)
	if !given || value == "" {
		return nil
	}
	var truth bool
	switch {
	case spelled(value, "true", "t", "1", "yes", "y", "on"):
		truth = true
	case spelled(value, "false", "f", "0", "no", "n", "off"):
	default:
		b.reject(name, "is invalid")
		return nil
	}
	return &truth
}

// spelled accepts a word in lower case, upper case or with an initial capital.
func spelled(value string, words ...string) bool {
	for _, word := range words {
		if value == word || value == strings.ToUpper(word) || value == strings.ToUpper(word[:1])+word[1:] {
			return true
		}
	}
	return false
}

// truth is boolean with false as the default.
func (b *binder) truth(name string) bool {
	value := b.boolean(name)
	return value != nil && *value
}

// oneOf returns an optional text from a fixed list.
func (b *binder) oneOf(name string, allowed ...string) string {
	value := b.text(name)
	for _, word := range allowed {
		if value == word {
			return value
		}
	}
	if value != "" {
		b.reject(name, "does not have a valid value")
	}
	return ""
}

// day returns an optional day. It also accepts a timestamp, because the official Go
// client sends one for some tokens.
func (b *binder) day(name string) clock.Day {
	value, given := b.scalar(name)
	if !given || value == "" {
		return clock.Day{}
	}
	if instant, err := time.Parse(time.RFC3339, value); err == nil {
		value = instant.Format(time.DateOnly)
	}
	day, err := clock.ParseDay(value)
	if err != nil {
		b.reject(name, "is invalid")
	}
	return day
}

// instant returns an optional instant. The default time zone is UTC; a date alone means its first
// second.
func (b *binder) instant(name string) time.Time {
	value, given := b.scalar(name)
	if !given || value == "" {
		return time.Time{}
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly} {
		if instant, err := time.ParseInLocation(layout, value, time.UTC); err == nil {
			return instant.UTC()
		}
	}
	b.reject(name, "is invalid")
	return time.Time{}
}

// idempotencyKey returns the header Idempotency-Key: 1 to 255 printable ASCII characters, or "" if
// absent.
func (c *call) idempotencyKey() (string, error) {
	values := c.r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	const longest = 255
	value := values[0]
	ok := len(values) == 1 && value != "" && len(value) <= longest
	for i := range len(value) {
		ok = ok && value[i] >= ' ' && value[i] <= '~'
	}
	if !ok {
		return "", paramError(fmt.Sprintf("Idempotency-Key is invalid (1 to %d printable ASCII characters, once)", longest))
	}
	return value, nil
}
