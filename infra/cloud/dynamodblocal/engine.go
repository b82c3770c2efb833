// Package dynamodblocal runs Amazon's DynamoDB Local as a child process.
//
// Start returns once the engine answers, and Client talks to it. The engine keeps its tables in
// memory and never outlives the process that started it, however that process ends. Tests use it
// through storetest. The package installs nothing; `make tools` does.
package dynamodblocal

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/infra/cloud/child"
	"latchkey/infra/cloud/tabledef"
)

// ErrMissing means that Java or the engine's jars are not on this machine; `make tools` puts them there.
var ErrMissing = errors.New("DynamoDB Local is not installed: run `make tools`")

const (
	startTimeout = 15 * time.Minute // seconds on a quiet machine, minutes on one that is busy with twenty other things
	pollEvery    = 50 * time.Millisecond
)

// Engine is a running DynamoDB Local. Its methods are safe for concurrent use.
type Engine struct {
	endpoint string
	child    *child.Child
}

// Start runs an engine on a free port and waits up to a quarter of an hour for it to answer. It returns
// ErrMissing if the machine lacks the engine.
func Start(ctx context.Context) (*Engine, error) {
	java, jars, err := installed()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return child.Retry(ctx, func(port int) (*Engine, error) { return start(ctx, java, jars, port) })
}

// Endpoint returns the engine's base URL.
func (e *Engine) Endpoint() string { return e.endpoint }

// Stop stops the engine and waits for its exit. Its tables are lost. A second call does nothing.
func (e *Engine) Stop() { e.child.Stop() }

// Client returns a DynamoDB client for a local engine. It retries little, because a local engine
// that does not answer is broken and not busy.
func Client(endpoint string, options ...func(*dynamodb.Options)) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(endpoint),
		// The engine accepts any key of letters and digits, and keeps separate tables for each.
		Credentials:      credentials.NewStaticCredentialsProvider("latchkey", "latchkey", ""),
		RetryMaxAttempts: 2,
	}, options...)
}

func installed() (java, jars string, err error) {
	if java, err = exec.LookPath("java"); err != nil {
		return "", "", fmt.Errorf("%w: %w", ErrMissing, err)
	}
	table, err := tabledef.Path()
	if err != nil {
		return "", "", err
	}
	root := filepath.Dir(filepath.Dir(table))
	jars = filepath.Join(root, ".tools", "dynamodb-local")
	if found, _ := filepath.Glob(filepath.Join(jars, "DynamoDBLocal-*.jar")); len(found) == 0 {
		return "", "", fmt.Errorf("%w: no DynamoDBLocal jar in %s", ErrMissing, jars)
	}
	return java, jars, nil
}

func start(ctx context.Context, java, jars string, port int) (*Engine, error) {
	process, err := child.Start("", nil, java,
		// A small heap and a cheap start: several test binaries run an engine at the same time.
		"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
		"-Djava.library.path="+jars, "-cp", filepath.Join(jars, "*"),
		"com.amazonaws.services.dynamodbv2.local.main.ServerRunner",
		"-inMemory", "-disableTelemetry", "-port", strconv.Itoa(port))
	if err != nil {
		return nil, err
	}
	engine := &Engine{endpoint: "http://127.0.0.1:" + strconv.Itoa(port), child: process}
	if err := engine.await(ctx); err != nil {
		engine.Stop()
		return nil, err
	}
	return engine, nil
}

// await polls until the engine lists its tables.
func (e *Engine) await(ctx context.Context) error {
	client := Client(e.endpoint)
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		_, err := client.ListTables(ctx, &dynamodb.ListTablesInput{})
		if err == nil {
			return nil
		}
		select {
		case <-e.child.Exited():
			return fmt.Errorf("%w: %s", child.ErrExited, e.child.Tail())
		case <-ctx.Done():
			return fmt.Errorf("engine does not answer: %w: %s", errors.Join(ctx.Err(), err), e.child.Tail())
		case <-poll.C:
		}
	}
}
