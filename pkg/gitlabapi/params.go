package gitlabapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"latchkey/pkg/apigateway"
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

// An unsupportedBody has a header, content-type or content-encoding, whose value means that the body is not read.
type unsupportedBody struct{ header, value string }

// Error leaves the value out, because a client can write anything into it.
func (u *unsupportedBody) Error() string { return u.header + " of the body is not supported" }

func (u *unsupportedBody) reply(*call) *reply {
	return failure(http.StatusUnsupportedMediaType, fmt.Sprintf("The provided %s '%s' is not supported.", u.header, u.value))
}

// read reads the parameters of the query and then of the body, which has at most maxBody bytes. If
// it fails, the parameters up to the fault are available.
//
// It never passes over a part of a request that it cannot read, because that part may ask for sudo. So it
// reads the body of a GET too, and refuses names that are not ASCII: no parameter has one, and to the eye
// they can be like one.
func (c *call) read(maxBody int64) error {
	p := params{}
	c.params = p
	query, err := parseForm(c.r.URL.RawQuery)
	p.add(formParams(query))
	if err != nil {
		return paramError("query is invalid")
	}
	if err := c.readBody(maxBody); err != nil {
		return err
	}
	if len(p[notASCII]) > 0 {
		return paramError("name of a parameter is not ASCII")
	}
	return nil
}

func (c *call) readBody(maxBody int64) error {
	p, r := c.params, c.r
	if r.Body == nil {
		return nil
	}
	contentType := r.Header.Get("Content-Type")
	media, attributes, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = ""
	}
	most := maxBody
	if media == multipartForm {
		most = max(maxBody, maxUpload)
	}
	tooLarge := paramError(fmt.Sprintf("body is too large (maximum is %d bytes)", most))
	body, err := io.ReadAll(http.MaxBytesReader(c.w, r.Body, most))
	if err != nil {
		return tooLarge
	}
	c.body = body
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if _, err := apigateway.OnlyHeader(r.Header, "Content-Type"); err != nil {
		return err
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return &unsupportedBody{"content-encoding", printableHeader(encoding)}
	}
	switch media {
	case "application/json":
		return p.addJSON(body)
	case "application/x-www-form-urlencoded":
		form, err := parseForm(string(body))
		if err != nil {
			return paramError("body is invalid")
		}
		p.add(formParams(form))
		return nil
	case multipartForm:
		if !bytes.Contains(body, []byte("--"+attributes["boundary"])) { // everything would stand before the first part
			return paramError("body is invalid")
		}
		return p.addMultipart(multipart.NewReader(bytes.NewReader(body), attributes["boundary"]), maxBody)
	default:
		return &unsupportedBody{"content-type", printableHeader(contentType)}
	}
}

// parseForm reads a query or a form, in which only & separates parameters (URL Standard, section 5.1).
// url.ParseQuery refuses a semicolon.
func parseForm(raw string) (url.Values, error) {
	return url.ParseQuery(strings.ReplaceAll(raw, ";", "%3B"))
}

// A misfit is in the place of a value that no parameter can have. Its text is what is wrong. A
// parameter that nobody reads is ignored, whatever its value.
type misfit string

const (
	aFile    misfit = "is invalid"
	nested   misfit = "is invalid"
	misspelt misfit = "is misspelled"
	twice    misfit = "is given more than once"
)

// named returns the parameter that a name in a form means, and what the brackets behind it say: "" for
// one value, "[]" for an element of a list, and anything else for an object. It notes the spelling.
func (p params) named(name string) (parameter, brackets string) {
	parameter = name
	if i := strings.IndexByte(name, '['); i > 0 {
		parameter, brackets = name[:i], name[i:]
	}
	p[spellings(parameter)] = append(p[spellings(parameter)], parameter)
	if strings.ContainsFunc(parameter, func(r rune) bool { return r > unicode.MaxASCII }) {
		p[notASCII] = append(p[notASCII], parameter)
	}
	return parameter, brackets
}

// noted starts the entries that hold the spellings of a parameter, and nothing that a client means.
const noted = "\x00"

// notASCII is the entry of all names that are not ASCII. No parameter has its spelling.
const notASCII = noted + "-"

// spellings returns the entry that all spellings of a parameter share. Only letters and digits count: a
// script may leave a quote or a space in a name.
func spellings(parameter string) string {
	return noted + strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(parameter))
}

// misspelled reports whether the request has another spelling of a parameter that is about to be read.
// To pass over one would do something other than requested, such as acting without sudo. A parameter
// that nobody reads may look like anything.
func (p params) misspelled(name string) bool {
	return slices.ContainsFunc(p[spellings(name)], func(spelled any) bool { return spelled != name })
}

// formParams returns the parameters of a form. All elements name[] are one list.
func formParams(form url.Values) params {
	p := params{}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		values := form[name]
		parameter, brackets := p.named(name)
		list := make([]any, len(values))
		for i, value := range values {
			list[i] = value
		}
		switch {
		case brackets == "":
			p[parameter] = append(p[parameter], list...)
		case brackets == "[]":
			p[parameter] = append(p[parameter], list)
		default:
			p[parameter] = append(p[parameter], nested)
		}
	}
	return p
}

// add adds the parameters of another part of the request. It may repeat a parameter, but not change it.
func (p params) add(more params) {
	for name, values := range more {
		earlier, again := p[name]
		switch {
		case !again:
			p[name] = values
		case strings.HasPrefix(name, noted):
			p[name] = append(earlier, values...)
		case reflect.DeepEqual(earlier, values), len(earlier) == 1 && len(values) == 1 && sameText(earlier[0], values[0]):
		default:
			p[name] = append(earlier, twice)
		}
	}
}

// sameText reports whether two values mean the same text: 5 in JSON is "5" in a query.
func sameText(a, b any) bool {
	first, some, problem := scalarText(a)
	second, there, another := scalarText(b)
	return problem == "" && another == "" && some && there && first == second
}

func isList(value any) bool {
	_, list := value.([]any)
	return list
}

// maxUpload is the largest body with files, in bytes. They are not read; clients send pictures of
// accounts and projects of up to 200 KB.
const maxUpload = 1 << 20

const multipartForm = "multipart/form-data"

// addMultipart reads a form whose values have together at most maxBody bytes. It passes over the
// content of files.
func (p params) addMultipart(reader *multipart.Reader, maxBody int64) error {
	form, files := url.Values{}, params{}
	for left := maxBody; ; {
		part, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return paramError("body is invalid")
		}
		name := part.FormName()
		if part.FileName() != "" {
			parameter, _ := files.named(name)
			files[parameter] = []any{aFile}
			continue
		}
		value, err := io.ReadAll(io.LimitReader(part, left+1))
		if err != nil {
			return paramError("body is invalid")
		}
		if left -= int64(len(name) + len(value)); left < 0 {
			return paramError(fmt.Sprintf("body is too large (maximum is %d bytes)", maxBody))
		}
		if name == "" { // it may have one that cannot be read
			return paramError("body is invalid")
		}
		form[name] = append(form[name], string(value))
	}
	p.add(formParams(form))
	p.add(files)
	return nil
}

// printableHeader returns as much of a header as a reply can safely repeat.
func printableHeader(value string) string {
	const longest = 100
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, value[:min(len(value), longest)])
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
	p.add(read)
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
		parameter, brackets := p.named(key)
		switch {
		case brackets != "" && (brackets != "[]" || !isList(value)):
			value = nested
		}
		if earlier, again := p[parameter]; again && !reflect.DeepEqual(earlier[0], value) {
			value = twice
		} else if again {
			continue
		}
		p[parameter] = append(p[parameter], value)
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

// given reports whether a request has a parameter, whatever its value and spelling.
func (p params) given(name string) bool { return len(p[spellings(name)]) > 0 }

// has reports whether a parameter has a value. Null, an empty text and an empty list are none.
func (p params) has(name string) bool {
	return slices.ContainsFunc(p[name], func(value any) bool {
		list, listed := value.([]any)
		return value != nil && value != "" && (!listed || len(list) > 0)
	})
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
	bound  []string // the names that were read
}

// fault returns all faults as one error, or nil.
func (b *binder) fault() error {
	if len(b.faults) == 0 {
		return nil
	}
	return paramError(strings.Join(b.faults, ", "))
}

func (b *binder) reject(name, problem string) { b.faults = append(b.faults, name+" "+problem) }

// scalar returns the text of a parameter that has one value, and whether it is given. The same value
// again counts once, because some clients repeat their parameters. Null counts as absent.
func (b *binder) scalar(name string) (text string, given bool) {
	b.bound = append(b.bound, name)
	if b.params.misspelled(name) {
		b.reject(name, string(misspelt))
		return "", false
	}
	for i, value := range b.params[name] {
		next, there, problem := scalarText(value)
		if problem == "" && i > 0 && (next != text || there != given) {
			problem = twice
		}
		if problem != "" {
			b.reject(name, string(problem))
			return "", false
		}
		text, given = next, there
	}
	return text, given
}

func scalarText(value any) (text string, given bool, problem misfit) {
	switch value := value.(type) {
	case nil:
		return "", false, ""
	case string:
		if !printable(value) {
			return "", false, "is invalid"
		}
		return value, true, ""
	case json.Number:
		return value.String(), true, ""
	case bool:
		return strconv.FormatBool(value), true, ""
	case misfit:
		return "", false, value
	default:
		return "", false, "is invalid"
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

// elements returns the elements of a list, or nil if it is absent: a JSON array, a parameter repeated as
// name[], or the values of one repeated without brackets, for which listed is false. It refuses two
// lists, because picking one or both would be a guess.
func (b *binder) elements(name string) (elements []any, listed bool) {
	b.bound = append(b.bound, name)
	if b.params.misspelled(name) {
		b.reject(name, string(misspelt))
		return nil, false
	}
	values := slices.DeleteFunc(slices.Clone(b.params[name]), func(value any) bool { return value == nil })
	for _, value := range values {
		if problem, some := value.(misfit); some {
			b.reject(name, string(problem))
			return nil, false
		}
		if list, some := value.([]any); some && len(values) > 1 {
			b.reject(name, string(twice))
			return nil, false
		} else if some {
			return list, true
		}
	}
	if len(values) == 0 {
		return nil, false
	}
	return values, false
}

// texts returns an array of strings, or nil. One string with commas is accepted too.
func (b *binder) texts(name string) (texts []string) {
	elements, listed := b.elements(name)
	if elements != nil {
		texts = []string{}
	}
	for _, element := range elements {
		text, ok := element.(string)
		if !ok {
			b.reject(name, "is invalid")
			return nil
		}
		if listed {
			texts = append(texts, text)
			continue
		}
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" {
				texts = append(texts, part)
			}
		}
	}
	return texts
}

// values returns strings exactly as sent: those of a list, or a single one.
func (b *binder) values(name string) (values []string) {
	elements, _ := b.elements(name)
	for _, element := range elements {
		value, ok := element.(string)
		if !ok {
			b.reject(name, "is invalid")
			return nil
		}
		values = append(values, value)
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

// The forms of days and times that errors name. Some others are accepted.
const (
	badDay  = "is invalid (write a day as YYYY-MM-DD)"
	badTime = "is invalid (write a time as YYYY-MM-DDThh:mm:ssZ, or a day as YYYY-MM-DD)"
)

// day returns an optional day. It also accepts a timestamp, because some clients send one for some
// tokens. Its day is the one that it names, whatever its time zone.
func (b *binder) day(name string) clock.Day {
	value, given := b.scalar(name)
	if !given || value == "" {
		return clock.Day{}
	}
	if instant, ok := zoned(value); ok {
		value = instant.Format(time.DateOnly)
	}
	day, err := clock.ParseDay(value)
	if err != nil {
		b.reject(name, badDay)
	}
	return day
}

// instant returns an optional instant. The default time zone is UTC; a date alone means its first
// second. The zero time, which would be no filter, is a nanosecond later.
func (b *binder) instant(name string) time.Time {
	value, given := b.scalar(name)
	if !given || value == "" {
		return time.Time{}
	}
	if instant, ok := zoned(value); ok {
		return afterZero(instant)
	}
	for _, layout := range []string{"2006-01-02T15:04:05", time.DateTime, time.DateOnly} {
		if instant, err := time.ParseInLocation(layout, value, time.UTC); err == nil {
			return afterZero(instant)
		}
	}
	b.reject(name, badTime)
	return time.Time{}
}

func afterZero(instant time.Time) time.Time {
	if instant.IsZero() {
		return instant.UTC().Add(time.Nanosecond)
	}
	return instant.UTC()
}

// zoned reads a time with a time zone: that of RFC 3339, and the same without the colon in the zone or
// with a space in place of the T, as many languages print it. In a form a + that is not escaped arrives
// as a space.
func zoned(value string) (time.Time, bool) {
	if date, zone, spaced := cutLast(value, " "); spaced && len(date) > len(time.DateOnly) && zone != "" && zone[0] >= '0' && zone[0] <= '9' {
		value = date + "+" + zone
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z0700",
		"2006-01-02 15:04:05 Z0700", "2006-01-02 15:04:05 UTC"} {
		if instant, err := time.Parse(layout, value); err == nil {
			return instant, true
		}
	}
	return time.Time{}, false
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
