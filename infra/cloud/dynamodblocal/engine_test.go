package dynamodblocal_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"latchkey/infra/cloud/dynamodblocal"
)

// parentVariable turns this test binary into a program that starts an engine, prints its endpoint
// and waits to be killed.
const parentVariable = "DYNAMODBLOCAL_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentVariable) == "" {
		os.Exit(m.Run())
	}
	engine, err := dynamodblocal.Start(context.Background())
	if err != nil {
		panic(err)
	}
	fmt.Println(engine.Endpoint())
	select {}
}

func TestStart(t *testing.T) {
	engine, err := dynamodblocal.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dynamodblocal.Client(engine.Endpoint()).ListTables(t.Context(), &dynamodb.ListTablesInput{}); err != nil {
		t.Errorf("a started engine does not answer: %v", err)
	}
	engine.Stop()
	engine.Stop() // allowed
	if answers(t, engine.Endpoint()) {
		t.Error("the engine answers after Stop")
	}
}

// A forgotten engine would hold memory and a port of the machine until somebody notices.
func TestEngineEndsWithAKilledParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentVariable+"=1")
	parent.Stderr = os.Stderr
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("the parent printed no endpoint: %v", err)
	}
	endpoint := strings.TrimSpace(line)
	if !answers(t, endpoint) {
		t.Fatalf("nothing listens at %s before the kill", endpoint)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // it was killed

	deadline, poll := time.After(15*time.Minute), time.NewTicker(20*time.Millisecond)
	defer poll.Stop()
	for answers(t, endpoint) {
		select {
		case <-deadline:
			t.Fatal("the engine outlives its parent")
		case <-poll.C:
		}
	}
}

func TestStartWithoutInstallation(t *testing.T) {
	t.Run("missing jars name the command that installs them", func(t *testing.T) {
		module := t.TempDir()
		if err := os.WriteFile(filepath.Join(module, "go.mod"), []byte("module empty\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Chdir(module)
		wantMissing(t)
	})
	t.Run("missing Java names the command that installs it", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		wantMissing(t)
	})
}

func wantMissing(t *testing.T) {
	t.Helper()
	_, err := dynamodblocal.Start(t.Context())
	if !errors.Is(err, dynamodblocal.ErrMissing) || !strings.Contains(err.Error(), "make tools") {
		t.Errorf("Start() = %v, want ErrMissing with `make tools`", err)
	}
}

// answers reports whether something listens at endpoint.
func answers(t *testing.T, endpoint string) bool {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(endpoint, "http://"))
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
