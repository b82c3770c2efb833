// Package graphql tells whether a GraphQL request only reads.
//
// Start with Reads. Whoever is not sure that a backend reads a request as this package does has to take
// it for one that writes, and so does the package: it accepts one form of request, in which every reader
// finds the same operations, and takes every other for a mutation.
package graphql

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser" // parses documents; the parser of gqlgen

	"latchkey/pkg/exactjson"
)

const (
	// maxTokens is how many words and signs a document may have. Clients' queries have hundreds.
	maxTokens = 20_000
	// maxBatch is how many requests a batch may have.
	maxBatch = 100
)

var (
	// ErrUnseen means that the body of a request could not be seen.
	ErrUnseen = errors.New("GraphQL request not seen")
	// ErrWrites means that a request has, or may have, an operation that is no query.
	ErrWrites = errors.New("GraphQL request may write")
)

// A Request is a GraphQL request over HTTP, as a proxy passed it on.
type Request struct {
	Method string
	// Query is the query of the target, without the question mark.
	Query  string
	Header http.Header
	// Body is the body, empty for none or if the proxy did not pass it on.
	Body []byte
	// Cut says that the proxy passed on a part of the body only.
	Cut bool
}

// Reads returns nil if every operation of the request is a query, and ErrUnseen or ErrWrites otherwise.
// It does not matter which operation operationName selects: all of them count.
//
// A GET has its document in the parameter query, and no body. A POST has it in a body of JSON, one object
// or a list of them. Whatever stands elsewhere might replace it at the backend. A document that is only
// named by a hash or an id can be anything.
func Reads(r Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		// A body that the proxy did not pass on has a type, or no backend reads it.
		if r.Cut || len(r.Body) > 0 || r.Header.Get("Content-Type") != "" {
			return ErrUnseen
		}
		return readsQuery(r.Query)
	case http.MethodPost:
		if r.Cut || len(r.Body) == 0 {
			return ErrUnseen
		}
		if r.Query != "" || !isJSON(r.Header) || !utf8.Valid(r.Body) {
			return ErrWrites
		}
		return readsBody(r.Body)
	}
	return ErrWrites
}

func isJSON(h http.Header) bool {
	types := h.Values("Content-Type")
	if len(types) != 1 || len(h.Values("Content-Encoding")) > 0 {
		return false
	}
	mediaType, parameters, err := mime.ParseMediaType(types[0])
	return err == nil && mediaType == "application/json" && (len(parameters) == 0 || len(parameters) == 1 && strings.EqualFold(parameters["charset"], "utf-8"))
}

// readsQuery judges the parameters of a GET.
func readsQuery(query string) error {
	parameters, err := url.ParseQuery(query)
	if err != nil {
		return ErrWrites
	}
	for name, values := range parameters {
		if len(values) != 1 || !known[name] && name != "private_token" {
			return ErrWrites
		}
	}
	return readsDocument(parameters.Get("query"))
}

// known are the members of a request that do not change what its document is. Others may name a stored
// document, such as extensions.persistedQuery, id, documentId and hash.
var known = map[string]bool{"query": true, "operationName": true, "variables": true}

func readsBody(body []byte) error {
	var batch []json.RawMessage
	if bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")) {
		if err := json.Unmarshal(body, &batch); err != nil || len(batch) == 0 || len(batch) > maxBatch {
			return ErrWrites
		}
	} else {
		batch = []json.RawMessage{body}
	}
	for _, one := range batch {
		members, err := exactjson.Members(one)
		if err != nil {
			return ErrWrites
		}
		for name, value := range members {
			if !known[name] && string(value) != "null" {
				return ErrWrites
			}
		}
		var document string
		if json.Unmarshal(members["query"], &document) != nil {
			return ErrWrites
		}
		if err := readsDocument(document); err != nil {
			return err
		}
	}
	return nil
}

// readsDocument judges a document. It takes one for a mutation in which readers might find other
// operations: one that ends a line with a lone carriage return, which not all take for an end, has another
// control character, or a block string, which old readers do not know.
func readsDocument(document string) error {
	plain := strings.ReplaceAll(document, "\r\n", "\n")
	if strings.ContainsFunc(plain, func(c rune) bool {
		return c < ' ' && c != '\n' && c != '\t' || c == '\ufeff' || c == '\u2028' || c == '\u2029' || c == utf8.RuneError
	}) ||
		strings.Contains(document, `"""`) {
		return ErrWrites
	}
	parsed, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: plain}, maxTokens)
	if err != nil || len(parsed.Operations) == 0 {
		return ErrWrites
	}
	for _, operation := range parsed.Operations {
		if operation.Operation != ast.Query {
			return fmt.Errorf("%w: a %s", ErrWrites, operation.Operation)
		}
	}
	return nil
}
