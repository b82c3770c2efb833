package gitlabapi_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"latchkey/infra/openapi"
	"latchkey/pkg/gitlabapi"
)

var document = sync.OnceValues(openapi.Load)

// beyond are tests whose requests are written in ways that Latchkey takes for GitLab's sake, and that the document does
// not promise: a number for a text, an empty filter, an empty body. Their replies are held to it all the same.
var beyond = []string{
	"TestParameters", "TestParametersMeanTheSameInEverySpelling", "TestWrongTypesInEveryField",
	"TestNoOverlapIsTheSameRequestHoweverItIsWritten",
}

// described holds a request and its reply to docs/openapi.yaml.
func described(tb testing.TB, r request, header http.Header, got response) {
	tb.Helper()
	d, err := document()
	check(tb, err)
	test, _, _ := strings.Cut(tb.Name(), "/")
	if _, err := d.Check(tb.Context(), openapi.Exchange{
		Method: r.method, Target: r.target, Header: header, Body: r.text(),
		Status: got.status, ReplyHeader: got.header, Reply: got.body, Beyond: slices.Contains(beyond, test),
	}); err != nil {
		tb.Errorf("docs/openapi.yaml: %v", err)
	}
}

// Clients that are generated from the document can do everything that the API does, and nothing else.
func TestDocumentAndRoutesAreTheSame(t *testing.T) {
	t.Parallel()
	d, err := document()
	check(t, err)
	var served, documented []string
	for _, rt := range gitlabapi.EveryRoute() {
		served = append(served, rt.Method+" "+rt.Path)
	}
	// Open routes, and a path that stands for another; see call.normalise.
	served = append(served, "POST /api/v4/token_leaks", "POST /api/v4/projects/user/{user_id}")
	for _, operation := range d.Operations() {
		if strings.Contains(operation, " /api/") {
			documented = append(documented, operation)
		}
	}
	for _, route := range served {
		if !slices.Contains(documented, route) {
			t.Errorf("docs/openapi.yaml has no %s", route)
		}
	}
	for _, operation := range documented {
		if !slices.Contains(served, operation) {
			t.Errorf("docs/openapi.yaml has %s, which is no route", operation)
		}
	}
}
