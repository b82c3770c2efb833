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
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/infra/cloud/tabledef"
)

// ErrMissing means that Java or the engine's jars are not on this machine; `make tools` puts them there.
var ErrMissing = errors.New("DynamoDB Local is not installed: run `make tools`")

// errExited means that the engine exited before it answered, for example because its port was
// taken.
var errExited = errors.New("engine exited")

const (
	startTimeout = 15 * time.Minute // seconds on a quiet machine, minutes on one that is busy with twenty other things
	startTries   = 3
	pollEvery    = 50 * time.Millisecond
	logTail      = 2 << 10 // bytes of the engine's output in an error
)

// wrapper execs the engine and leaves a watcher behind that kills it when standard input closes.
// The kernel closes a parent's pipe even after SIGKILL. A parent-death signal belongs to one thread
// and exists only on Linux. A line on the pipe tells the watcher that the engine has exited,
// because another process may have its process id by now.
const wrapper = `exec 3<&0
(read -r _ <&3 || kill -9 $$) &
exec "$@" </dev/null 3<&-`

// Engine is a running DynamoDB Local. Its methods are safe for concurrent use.
type Engine struct {
	endpoint string
	keeper   *os.File      // the engine runs as long as this is open; see wrapper
	exited   chan struct{} // closed when the process has exited
	output   *os.File
}

// Start runs an engine on a free port and waits up to two minutes for it to answer. It returns
// ErrMissing if the machine lacks the engine.
func Start(ctx context.Context) (*Engine, error) {
	java, jars, err := installed()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for try := 1; ; try++ {
		engine, err := start(ctx, java, jars)
		// Another process may take the free port first, so a lost race is tried again.
		if !errors.Is(err, errExited) || try == startTries {
			return engine, err
		}
	}
}

// Endpoint returns the engine's base URL.
func (e *Engine) Endpoint() string { return e.endpoint }

// Stop stops the engine and waits for its exit. Its tables are lost. A second call does nothing.
func (e *Engine) Stop() {
	e.keeper.Close()
	<-e.exited
	e.output.Close()
}

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

func start(ctx context.Context, java, jars string) (*Engine, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	// The output goes to an unlinked file. A pipe could fill up and stop the engine, or keep `go
	// test` waiting, and a named file would stay behind.
	output, err := os.CreateTemp("", "dynamodb-local-*.log")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(output.Name()); err != nil {
		return nil, err
	}
	cmd := exec.Command("sh", "-c", wrapper, "dynamodb-local", java,
		// A small heap and a cheap start: several test binaries run an engine at the same time.
		"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
		"-Djava.library.path="+jars, "-cp", filepath.Join(jars, "*"),
		"com.amazonaws.services.dynamodbv2.local.main.ServerRunner",
		"-inMemory", "-disableTelemetry", "-port", strconv.Itoa(port))
	watched, keeper, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = watched, output, output
	err = cmd.Start()
	watched.Close()
	if err != nil {
		keeper.Close()
		return nil, fmt.Errorf("start the engine: %w", err)
	}
	engine := &Engine{
		endpoint: "http://127.0.0.1:" + strconv.Itoa(port),
		keeper:   keeper,
		exited:   make(chan struct{}),
		output:   output,
	}
	go engine.reap(cmd)
	if err := engine.await(ctx); err != nil {
		engine.Stop()
		return nil, err
	}
	return engine, nil
}

func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// reap waits until the engine has exited, then stops its watcher.
func (e *Engine) reap(cmd *exec.Cmd) {
	_ = cmd.Wait() // the engine's output says more than its exit status
	_, _ = e.keeper.WriteString("\n")
	close(e.exited)
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
		case <-e.exited:
			return fmt.Errorf("%w: %s", errExited, e.tail())
		case <-ctx.Done():
			return fmt.Errorf("engine does not answer: %w: %s", errors.Join(ctx.Err(), err), e.tail())
		case <-poll.C:
		}
	}
}

func (e *Engine) tail() []byte {
	info, err := e.output.Stat()
	if err != nil {
		return nil
	}
	last := make([]byte, min(info.Size(), logTail))
	n, _ := e.output.ReadAt(last, info.Size()-int64(len(last)))
	return last[:n]
}
