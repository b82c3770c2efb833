// Package runtime runs the binary of a function as Lambda does: in a process of its own, which asks
// Lambda's runtime API for events and posts its answers there.
//
// Start with Start. The package promises that an event is answered or its error returned, that a process
// that ends answers every waiting event with ErrEnded, and that Stop leaves no process behind. It does not
// imitate Lambda's time limits, its freezing of idle processes, or its extensions.
package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrEnded means that the process ended before it answered.
var ErrEnded = errors.New("the function's process has ended")

// A Failure is the error that a function reported. It is what a caller of Lambda gets.
type Failure struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

func (f *Failure) Error() string { return f.Type + ": " + f.Message }

// An Instance is one process of a function. It is safe for concurrent use, but hands the process its events
// in the order in which the process asks for them.
type Instance struct {
	process *exec.Cmd
	server  *http.Server
	output  *log
	events  chan event
	ended   chan struct{}
	stop    context.CancelFunc

	mu      sync.Mutex
	last    int
	waiting map[string]chan<- answer
}

type event struct {
	payload []byte
	answers chan<- answer
}

type answer struct {
	body []byte
	err  error
}

// Start starts a binary with an environment and nothing else of this process's. The caller must stop the
// instance. It does not wait until the process asks for an event.
func Start(ctx context.Context, binary string, environ []string) (*Instance, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	i := &Instance{
		process: exec.CommandContext(ctx, binary), output: &log{}, events: make(chan event), ended: make(chan struct{}), stop: stop,
		waiting: map[string]chan<- answer{},
	}
	const slowHeader = time.Minute
	i.server = &http.Server{Handler: i.api(), ReadHeaderTimeout: slowHeader}
	go func() { _ = i.server.Serve(listener) }()
	i.process.Env = append([]string{"AWS_LAMBDA_RUNTIME_API=" + listener.Addr().String()}, environ...)
	i.process.Stdout, i.process.Stderr = i.output, i.output
	if err := i.process.Start(); err != nil {
		stop()
		return nil, errors.Join(err, i.server.Close())
	}
	go func() {
		_ = i.process.Wait()
		close(i.ended)
	}()
	return i, nil
}

// Stop ends the process and the API.
func (i *Instance) Stop() {
	i.stop()
	<-i.ended
	_ = i.server.Close()
}

// Output returns what the process has printed.
func (i *Instance) Output() string { return i.output.String() }

// PeakMemory returns the most memory that the running process has had, in bytes (VmHWM of proc(5)). The
// kernel's figure for ended processes would count what they had before they ran the binary.
func (i *Instance) PeakMemory() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.process.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if kilobytes, found := strings.CutPrefix(line, "VmHWM:"); found {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kilobytes), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("no VmHWM in the status of the process")
}

// Invoke hands an event to the process and returns its answer. Errors: *Failure, ErrEnded, and that of ctx.
func (i *Instance) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	answers := make(chan answer, 1)
	select {
	case i.events <- event{payload, answers}:
	case <-i.ended:
		return nil, ErrEnded
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case a := <-answers:
		return a.body, a.err
	case <-i.ended:
		return nil, ErrEnded
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// invocationTime is the deadline that events have.
const invocationTime = time.Minute

// api serves the runtime API (Lambda developer guide, "Using the Lambda runtime API").
func (i *Instance) api() http.Handler {
	mux := http.NewServeMux()
	const invocation = "/2018-06-01/runtime/invocation"
	mux.HandleFunc("GET "+invocation+"/next", func(w http.ResponseWriter, r *http.Request) {
		select {
		case e := <-i.events:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", i.wait(e))
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(invocationTime).UnixMilli(), 10))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:123456789012:function:tested")
			_, _ = w.Write(e.payload)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST "+invocation+"/{id}/response", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		i.answer(r.PathValue("id"), answer{body, err})
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("POST "+invocation+"/{id}/error", func(w http.ResponseWriter, r *http.Request) {
		failure := &Failure{}
		if err := json.NewDecoder(r.Body).Decode(failure); err != nil {
			failure.Message = err.Error()
		}
		i.answer(r.PathValue("id"), answer{nil, failure})
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}

// wait notes who waits for the answer to an event, and returns the event's id.
func (i *Instance) wait(e event) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last++
	id := fmt.Sprintf("00000000-0000-4000-8000-%012d", i.last)
	i.waiting[id] = e.answers
	return id
}

func (i *Instance) answer(id string, a answer) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if waiting := i.waiting[id]; waiting != nil {
		delete(i.waiting, id)
		waiting <- a
	}
}

// A log is a buffer that may be read while a process writes to it.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
