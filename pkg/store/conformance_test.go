package store_test

import (
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/infra/cloud/engine"
	"latchkey/pkg/store/storetest"
)

func TestConformanceOfDynamoDBLocal(t *testing.T) {
	t.Parallel()
	storetest.Conformance(t, func(tb testing.TB) *dynamodb.Client { return storetest.Engine(tb) })
}

// `make run` keeps its table in this engine.
func TestConformanceOfTheEmbeddedEngine(t *testing.T) {
	t.Parallel()
	storetest.Conformance(t, func(testing.TB) *dynamodb.Client { return engine.New().Client() })
}

// A proxy that breaks nothing changes nothing.
func TestConformanceThroughTheProxy(t *testing.T) {
	t.Parallel()
	storetest.Conformance(t, func(tb testing.TB) *dynamodb.Client {
		server := httptest.NewServer(engine.New())
		tb.Cleanup(server.Close)
		return storetest.NewProxy(tb, server.URL).Client()
	})
}
