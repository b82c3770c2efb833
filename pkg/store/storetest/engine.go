// Package storetest gives tests a real DynamoDB engine, and holds the suite that every engine
// passes.
//
// Start with Engine and Table: one engine for each test binary and one table for each test, so that
// tests can run in parallel. Without the engine the tests fail; they never skip.
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

// endpointVariable names a running engine to use.
const endpointVariable = "DYNAMODB_ENDPOINT"

// shared is the engine of this test binary. It also keeps a failed start, so that every test
// reports it at once.
var shared struct {
	start  sync.Once
	engine *dynamodblocal.Engine
	err    error
}

// Engine returns a client for the test binary's DynamoDB, and starts it on first use. The engine
// exits with the test binary, whether that returns, panics or is killed.
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
		// Do not use the test's context, because the engine outlives the test.
		shared.engine, shared.err = dynamodblocal.Start(context.Background())
	})
	if shared.err != nil {
		tb.Fatalf("no DynamoDB to test against: %v", shared.err)
	}
	return shared.engine.Endpoint()
}

// Table creates an empty table from infra/table.yaml and returns its unique name. It deletes the
// table at the end of the test. Each of without removes something from the definition.
func Table(tb testing.TB, client *dynamodb.Client, without ...func(*dynamodb.CreateTableInput)) string {
	tb.Helper()
	path, err := tabledef.Path()
	if err != nil {
		tb.Fatal(err)
	}
	name := "test-" + rand.Text()
	if err := tabledef.Create(tb.Context(), client, path, name, without...); err != nil {
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

// noStream spares DynamoDB Local, where a stream makes writes slower by half. The store reads none.
func noStream(in *dynamodb.CreateTableInput) { in.StreamSpecification = nil }

// Main runs the tests and waits until the engine has exited. It is for a package's TestMain;
// without it the engine exits a moment after the test binary.
func Main(m *testing.M) {
	code := m.Run()
	if shared.engine != nil {
		shared.engine.Stop()
	}
	os.Exit(code)
}
