// Package storetest gives tests a real DynamoDB engine and holds the suite that every store passes.
//
// Engine and Table are all most tests need: one engine per test binary, one table per test, so that
// tests may run in parallel. A machine without the engine fails the tests; nothing skips.
package storetest

import (
	"context"
	"crypto/rand"
	"os"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/infra/cloud/dynamodblocal"
	"latchkey/infra/cloud/tabledef"
)

// endpointVariable names an engine that runs already; with it set, none is started.
const endpointVariable = "DYNAMODB_ENDPOINT"

// shared is the engine of this test binary. A failed start is kept too: every test reports it
// instead of each waiting for its own time limit.
var shared struct {
	start  sync.Once
	engine *dynamodblocal.Engine
	err    error
}

// Engine returns a client for the test binary's DynamoDB, starting it on first use. It ends with
// the test binary, whether that returns, panics or is killed.
func Engine(tb testing.TB) *dynamodb.Client {
	tb.Helper()
	return dynamodblocal.Client(Endpoint(tb))
}

// Endpoint returns the base URL of the engine that Engine uses.
func Endpoint(tb testing.TB) string {
	tb.Helper()
	if endpoint := os.Getenv(endpointVariable); endpoint != "" {
		return endpoint
	}
	shared.start.Do(func() {
		// Not the test's context: the engine serves the tests after it as well.
		shared.engine, shared.err = dynamodblocal.Start(context.Background())
	})
	if shared.err != nil {
		tb.Fatalf("no DynamoDB to test against: %v", shared.err)
	}
	return shared.engine.Endpoint()
}

// Table creates an empty table from infra/table.yaml and returns its name, which no other test has.
// The table is deleted when the test ends.
func Table(tb testing.TB, client *dynamodb.Client) string {
	tb.Helper()
	path, err := tabledef.Path()
	if err != nil {
		tb.Fatal(err)
	}
	name := "test-" + rand.Text()
	if err := tabledef.Create(tb.Context(), client, path, name); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		// The test's context is cancelled by now.
		_, err := client.DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &name})
		if err != nil {
			tb.Errorf("delete table %s: %v", name, err)
		}
	})
	return name
}

// Main runs the tests and waits until the engine is gone. A package needs it as its TestMain only to
// be sure of that; without it the engine ends a moment after the test binary.
func Main(m *testing.M) {
	code := m.Run()
	if shared.engine != nil {
		shared.engine.Stop()
	}
	os.Exit(code)
}
