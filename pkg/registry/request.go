package registry

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"latchkey/pkg/fault"
)

// A Request is a request to a registry, as its client sent it.
type Request struct {
	Method string
	// Path is encoded and starts with /v2/.
	Path string
	// Query is encoded and has no question mark.
	Query string
	// ContentTypes are the values of the header Content-Type.
	ContentTypes []string
}

// ErrRequest is the family of requests of which nobody can tell what they would do. Nothing but the
// spelling of the request decides that.
var ErrRequest = fmt.Errorf("%w: request to a registry", fault.ErrForbidden)

var (
	errPath     = fmt.Errorf("%w: path or method is not one of a registry's", ErrRequest)
	errQuery    = fmt.Errorf("%w: query can be read in two ways", ErrRequest)
	errFrom     = fmt.Errorf("%w: mount from an unnamed repository", ErrRequest)
	errFormBody = fmt.Errorf("%w: form in the body of an upload", ErrRequest)
	errNoType   = fmt.Errorf("%w: manifest without a Content-Type, which the proxy may have kept back", ErrRequest)
)

// The needs of methods are those of the registry itself, which asks a token for pull and push before
// it accepts a part of an upload (registry 2.8 and 3.x, handlers.appendAccessRecords).
var (
	reads   = []Action{Pull}
	writes  = []Action{Pull, Push}
	deletes = []Action{Delete}
)

// An endpoint is a kind of path below /v2/<name>/.
type endpoint struct {
	path  *regexp.Regexp
	needs map[string][]Action
}

const (
	tag    = `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`
	digest = `[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}`
)

// endpoints are those of the OCI Distribution Specification 1.1, "Endpoints". No part behind the name
// has a slash, so no path has two readings, whatever the name is. Nothing in a path needs an escape.
var endpoints = []endpoint{
	{manifests, map[string][]Action{
		"GET": reads, "HEAD": reads, "PUT": writes, "DELETE": deletes,
	}},
	{regexp.MustCompile(`^/v2/(.+)/blobs/(` + digest + `)$`), map[string][]Action{"GET": reads, "HEAD": reads, "DELETE": deletes}},
	{uploads, map[string][]Action{"POST": writes}},
	{regexp.MustCompile(`^/v2/(.+)/blobs/uploads/[A-Za-z0-9_=-][A-Za-z0-9._=-]*$`), map[string][]Action{
		"GET": reads, "HEAD": reads, "PATCH": writes, "PUT": writes, "DELETE": deletes,
	}},
	{regexp.MustCompile(`^/v2/(.+)/tags/list$`), map[string][]Action{"GET": reads, "HEAD": reads}},
	{regexp.MustCompile(`^/v2/(.+)/referrers/(` + digest + `)$`), map[string][]Action{"GET": reads, "HEAD": reads}},
}

var (
	manifests = regexp.MustCompile(`^/v2/(.+)/manifests/(` + tag + `|` + digest + `)$`)
	// uploads is where an upload starts.
	uploads = regexp.MustCompile(`^/v2/(.+)/blobs/uploads/$`)
)

// Wanted returns what a request wants. It wants nothing if it only asks whether the bearer is good, as
// `docker login` does. An error is ErrRequest.
func (r Request) Wanted() ([]Access, error) {
	reading := r.Method == "GET" || r.Method == "HEAD"
	switch {
	case (r.Path == "/v2/" || r.Path == "/v2") && reading:
		return nil, nil
	case r.Path == "/v2/_catalog" && reading:
		return []Access{{Instance, Catalog, []Action{Every}}}, nil
	}
	for _, endpoint := range endpoints {
		match := endpoint.path.FindStringSubmatch(r.Path)
		if match == nil || !validName(match[1]) {
			continue
		}
		needs := endpoint.needs[r.Method]
		if needs == nil {
			return nil, errPath
		}
		from, err := r.from()
		switch {
		case err != nil:
			return nil, err
		case r.Method == "PUT" && endpoint.path == manifests && len(r.ContentTypes) == 0:
			// Behind a proxy that keeps the header back, forms pass. Nobody can push there, so somebody will
			// notice: every client sends one with a manifest.
			return nil, errNoType
		}
		wanted := []Access{{Repository, match[1], needs}}
		if from != "" {
			wanted = append(wanted, Access{Repository, from, reads})
		}
		return wanted, nil
	}
	return nil, errPath
}

// from returns the repository out of which the request takes a blob, or "". A registry reads `mount` and
// `from` out of the query and out of a form in the body (http.Request.FormValue), where nobody else can
// see them, so an upload must not start with a form. Some registries look for a mounted blob everywhere
// if the request does not say where it is.
func (r Request) from() (string, error) {
	query, err := url.ParseQuery(r.Query)
	if err != nil || len(query["from"]) > 1 || len(query["mount"]) > 1 {
		return "", errQuery
	}
	from := query.Get("from")
	switch {
	case from != "" && !validName(from):
		return "", errQuery
	case from == "" && query.Get("mount") != "":
		return "", errFrom
	case r.Method == "POST" && slices.ContainsFunc(r.ContentTypes, isForm):
		return "", errFormBody
	}
	return from, nil
}

func isForm(contentType string) bool {
	contentType = strings.ToLower(contentType)
	return strings.Contains(contentType, "application/x-www-form-urlencoded") || strings.Contains(contentType, "multipart/")
}
