package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"latchkey/pkg/fault"
)

// maxBody is the largest body that a question may have, in bytes. No rule needs more of a request.
const maxBody = 1 << 20

var errTooLarge = fmt.Errorf("%w: body too large", fault.ErrInput)

func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		return nil, errTooLarge
	}
	return body, nil
}

// encode returns the JSON of a reply. Wire types always encode.
func encode(body any) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(body)
	return strings.TrimSuffix(b.String(), "\n")
}
