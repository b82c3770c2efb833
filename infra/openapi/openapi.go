// Package openapi holds requests and replies to docs/openapi.yaml, for tests. Start with Load.
//
// A request that was accepted must be one that the document allows, so that the document is not too narrow, and every
// reply must be one that it describes, so that it leaves nothing out. A refused request may be anything.
package openapi

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// A Document is docs/openapi.yaml. It is safe for concurrent use.
type Document struct {
	spec  *openapi3.T
	paths []string // those with the fewest parameters first, as the routers of Latchkey have it
}

// textual guards the library's decoders, which belong to the process.
var textual sync.Once

// Load reads the document, which lies in the folder docs above the working directory. It refuses one that is no OpenAPI.
func Load() (*Document, error) {
	folder, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for ; filepath.Dir(folder) != folder; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			break
		}
	}
	spec, err := openapi3.NewLoader().LoadFromFile(filepath.Join(folder, "docs", "openapi.yaml"))
	if err != nil {
		return nil, err
	}
	if err := spec.Validate(context.Background()); err != nil {
		return nil, err
	}
	textual.Do(func() {
		openapi3filter.RegisterBodyDecoder("application/x-pem-file", openapi3filter.PlainBodyDecoder)
		openapi3filter.RegisterBodyDecoder("application/vnd.git-lfs+json", openapi3filter.JSONBodyDecoder)
		openapi3filter.RegisterBodyDecoder("application/jwk-set+json", openapi3filter.JSONBodyDecoder)
	})
	paths := slices.SortedFunc(maps.Keys(spec.Paths.Map()), func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.Count(a, "{"), strings.Count(b, "{")), cmp.Compare(a, b))
	})
	return &Document{spec, paths}, nil
}

// Operations lists what the document describes, as "GET /api/v4/version", in order.
func (d *Document) Operations() (all []string) {
	for path, item := range d.spec.Paths.Map() {
		for method := range item.Operations() {
			all = append(all, method+" "+path)
		}
	}
	slices.Sort(all)
	return all
}

// An Exchange is a request with its reply. Target is the path as it was sent, with the query.
type Exchange struct {
	Method, Target string
	Header         http.Header
	Body           string
	Status         int
	ReplyHeader    http.Header
	Reply          string
	// Beyond says that the request may be written in a way that Latchkey takes and the document does not promise.
	Beyond bool
}

// Check returns what the document does not allow. It passes over targets that it does not describe, and says by
// described whether it does.
func (d *Document) Check(ctx context.Context, x Exchange) (described bool, err error) {
	path, query, _ := strings.Cut(x.Target, "?")
	method := x.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	route, parameters := d.find(method, path)
	if route == nil {
		return false, nil
	}
	request := (&http.Request{
		Method: method, URL: &url.URL{Scheme: "http", Host: "localhost:8080", Path: path, RawQuery: query}, Host: "localhost:8080",
		Header: x.Header.Clone(), Body: io.NopCloser(strings.NewReader(x.Body)),
	}).WithContext(ctx)
	input := &openapi3filter.RequestValidationInput{
		Request: request, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true,
			// Parameters stand in a form or in the query too, so a form is not held to the types of JSON.
			ExcludeRequestBody: !isJSON(x.Header.Get("Content-Type")) || x.Body == "",
		},
	}
	if x.Status < http.StatusBadRequest && !x.Beyond {
		if err := openapi3filter.ValidateRequest(ctx, input); err != nil {
			return true, fmt.Errorf("%s %s was accepted: %w", x.Method, route.Path, err)
		}
	}
	reply := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: x.Status, Header: x.ReplyHeader, Options: input.Options,
	}
	if x.Reply == "" {
		input.Options.ExcludeResponseBody = true // of HEAD
	}
	reply.SetBodyBytes([]byte(x.Reply))
	if err := openapi3filter.ValidateResponse(ctx, reply); err != nil {
		return true, fmt.Errorf("%s %s answered %d: %w", x.Method, route.Path, x.Status, err)
	}
	return true, nil
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == "application/json"
}

// find returns the first operation whose path fits.
func (d *Document) find(method, path string) (*routers.Route, map[string]string) {
	for _, template := range d.paths {
		parameters, fits := match(template, path)
		item := d.spec.Paths.Value(template)
		if !fits || item.GetOperation(method) == nil {
			continue
		}
		return &routers.Route{Spec: d.spec, Path: template, PathItem: item, Method: method, Operation: item.GetOperation(method)}, parameters
	}
	return nil, nil
}

// match compares segment by segment. {path} at the end is everything that follows.
func match(template, path string) (map[string]string, bool) {
	parameters := map[string]string{}
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if rest := len(want) - 1; want[rest] == "{path}" && len(got) > rest {
		got = append(got[:rest:rest], strings.Join(got[rest:], "/"))
	}
	if len(want) != len(got) {
		return nil, false
	}
	for i, segment := range want {
		name, isParameter := strings.CutPrefix(segment, "{")
		value, err := url.PathUnescape(got[i])
		switch {
		case isParameter && err == nil && value != "":
			parameters[strings.TrimSuffix(name, "}")] = value
		case isParameter, segment != got[i]:
			return nil, false
		}
	}
	return parameters, true
}
