package localtest

import (
	"bytes"
	"context"
	"path/filepath"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"latchkey/infra/cloud"
)

var schemas sync.Map // by type of event

// schemaOf returns the schema of a type of event, of which it reads the files once.
func schemaOf(tb testing.TB, kind string) *jsonschema.Schema {
	tb.Helper()
	if known, found := schemas.Load(kind); found {
		return known.(*jsonschema.Schema)
	}
	compiler := jsonschema.NewCompiler()
	schema, err := compiler.Compile(filepath.Join(Root(tb), "events", "schemas", kind+".json"))
	if err != nil {
		tb.Fatalf("schema of %s: %v", kind, err)
	}
	schemas.Store(kind, schema)
	return schema
}

// CheckEvent fails the test if an event is not as its schema says.
func CheckEvent(tb testing.TB, event cloud.BusEvent) {
	tb.Helper()
	detail, err := jsonschema.UnmarshalJSON(bytes.NewReader(event.Detail))
	check(tb, err)
	if err := schemaOf(tb, event.DetailType).Validate(detail); err != nil {
		tb.Errorf("%s is not as its schema says: %v\n%s", event.DetailType, err, event.Detail)
	}
}

// checkEvents holds every event about what the test did to its schema, and puts it where secrets are
// searched for.
func (w *World) checkEvents(tb testing.TB) {
	tb.Helper()
	if tb.Failed() {
		return
	}
	_, _, err := w.streams.Deliver(context.Background(), w.Functions, nil) // the test's own context has ended
	check(tb, err)
	for _, event := range w.Bus.Events() {
		CheckEvent(tb, event)
		_, _ = w.Logs.Write(append(bytes.Clone(event.Detail), '\n'))
	}
}
