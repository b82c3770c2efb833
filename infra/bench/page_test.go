package main

import (
	"testing"

	"latchkey/infra/cloud/engine"
)

// Breaks if the page needs a part that the benchmark does not give it. Nothing else would notice before the
// next `make bench`.
func TestThePageOfTheBenchmarkAnswers(t *testing.T) {
	l, err := newListing(t.Context(), engine.New().Client())
	if err != nil {
		t.Fatal(err)
	}
	p, err := newPage(l)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.list(t.Context()); err != nil {
		t.Error(err)
	}
}
