package main

import (
	"testing"

	"latchkey/infra/cloud/engine"
	"latchkey/pkg/store"
)

// Breaks if the lists can no longer be measured, for example because a part of the site is missing. Nobody runs
// the benchmarks before a push.
func TestListsCanBeMeasured(t *testing.T) {
	client := engine.New().Client(store.Configure(""))
	l, err := newListing(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	html, err := newPage(l, store.From(client))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.page(t.Context()); err != nil {
		t.Error(err)
	}
	if err := html.list(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.reads(t.Context(), client, html.session, l.records); err != nil {
		t.Error(err)
	}
}
