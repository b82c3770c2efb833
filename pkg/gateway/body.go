package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
)

// maxBody is the most of a body that a rule reads, in bytes.
const maxBody = 1 << 20

// partialHeader is Envoy's word about a body that it passed on ("Network filters", with_request_body).
const partialHeader = "X-Envoy-Auth-Partial-Body"

// readBody returns the body of a question. cut says that this is not the whole body of the request; body
// is empty then.
func readBody(r *http.Request) (body []byte, cut bool) {
	if r.Body == nil {
		return nil, false
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	partial := slices.ContainsFunc(r.Header.Values(partialHeader), func(value string) bool { return !strings.EqualFold(value, "false") })
	if err != nil || len(body) > maxBody || partial {
		return nil, true
	}
	return body, false
}

// encode returns the JSON of a reply. Wire types always encode.
func encode(body any) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body)
	return strings.TrimSuffix(b.String(), "\n")
}
