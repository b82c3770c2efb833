package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/pkg/clock"
)

// closeWithin is how long Close waits for requests in flight.
const closeWithin = 5 * time.Second

// AuthorizerFunction is the name of the function that guards the sample API.
const AuthorizerFunction = "authorizer"

// Options configure a Cloud.
type Options struct {
	// Template is the parsed template.yaml.
	Template *Template
	// Functions are the handlers by function name, one for each function of the template.
	Functions map[string]lambda.Handler
	// Listener is where the cloud listens, by default a free port of 127.0.0.1.
	Listener net.Listener
	// Hosts are names, with or without a port, by which clients call the cloud in addition to
	// localhost and the loopback addresses, and the hosts of web pages that may call it. A Listener
	// that other machines reach needs at least one.
	Hosts []string
	// Pages are further handlers by path prefix, such as "/mailbox/". They take precedence over the
	// API.
	Pages map[string]http.Handler
	// SampleBackend replaces the sample API; see Sample.
	SampleBackend *url.URL
	// AuthorizerCacheTime is how long the sample API caches an answer for an Authorization header;
	// 0 disables the cache.
	AuthorizerCacheTime time.Duration
	// Schedules are the schedules to run, by Clock.
	Schedules []Schedule
	// Plans are the plans to run, by Clock; nil for none.
	Plans *Plans
	// Queues are the queues whose messages are delivered, by Clock; nil for none.
	Queues *Queues
	// Streams delivers the records of the table's stream; nil for none.
	Streams Streams
	// Concurrency is how many functions the account may run at a time, with the reservations and the
	// throttles of methods that the template has. 0 imitates none of these limits.
	Concurrency int
	// Patience replaces the time limits of functions and of the gateway, for tests of something that takes a
	// busy machine longer; 0 keeps them.
	Patience time.Duration
	Clock    clock.Clock // defaults to the system's
	// ScheduleLog receives the errors of scheduled runs; nil discards them.
	ScheduleLog *slog.Logger
	// RequestLog receives one line for each finished request; nil discards them. A line has no
	// query, headers or body, because these may hold bearers.
	RequestLog *slog.Logger
}

// Cloud is a running local cloud.
type Cloud struct {
	server     *http.Server
	listener   net.Listener
	invoke     *InvokeAPI
	unschedule context.CancelFunc
	scheduler  *scheduler
	waiting    *waitingConns
	served     chan error
}

// Start listens and returns as soon as the cloud answers requests. Stop it with Close; ctx bounds
// only the start.
func Start(ctx context.Context, options Options) (*Cloud, error) {
	for name := range options.Template.Functions {
		if options.Functions[name] == nil {
			return nil, fmt.Errorf("start local cloud: no handler for function %q of the template", name)
		}
	}
	if options.Concurrency > 0 {
		limited, err := limitConcurrency(options.Functions, options.Template.Functions, options.Concurrency)
		if err != nil {
			return nil, fmt.Errorf("start local cloud: %w", err)
		}
		options.Functions = limited
	}
	api := options.Template.API(options.Functions)
	if options.Concurrency > 0 {
		api.Throttles = options.Template.Throttles
		if options.Clock != nil {
			api.Clock = options.Clock
		}
	}
	if options.Patience > 0 {
		api.IntegrationTimeout = options.Patience
		for name := range options.Functions {
			api.Timeouts[name] = options.Patience
		}
	}
	gateway, err := NewGateway(api)
	if err != nil {
		return nil, fmt.Errorf("start local cloud: %w", err)
	}
	invoke := &InvokeAPI{Functions: options.Functions, Timeouts: api.Timeouts}
	pages := maps.Clone(options.Pages)
	if pages == nil {
		pages = map[string]http.Handler{}
	}
	pages[InvokePath] = Signed(invoke)
	if handler := options.Functions[AuthorizerFunction]; handler != nil {
		authorizer := &Authorizer{Kind: RequestAuthorizer, Handler: handler, CacheTime: options.AuthorizerCacheTime, Timeout: api.Timeouts[AuthorizerFunction]}
		if authorizer.CacheTime > 0 {
			authorizer.Headers = []string{"Authorization"}
		}
		if pages[SamplePath], err = Sample(authorizer, options.SampleBackend); err != nil {
			return nil, fmt.Errorf("start local cloud: %w", err)
		}
	}
	var handler http.Handler = router{pages, gateway}
	listener := options.Listener
	if listener == nil {
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("start local cloud: %w", err)
		}
	}
	open := beyond(listener)
	if open && len(options.Hosts) == 0 {
		return nil, fmt.Errorf("start local cloud: %s %w", listener.Addr(), errOpen)
	}
	handler = door{options.Hosts, open, handler}
	if options.RequestLog != nil {
		handler = requestLog{options.RequestLog, handler}
	}
	waiting := &waitingConns{}
	c := &Cloud{
		server:    &http.Server{Handler: handler, ReadHeaderTimeout: integrationTimeout, ConnState: waiting.track},
		waiting:   waiting,
		listener:  listener,
		invoke:    invoke,
		scheduler: newScheduler(options, api.Timeouts),
		served:    make(chan error, 1),
	}
	scheduled, unschedule := context.WithCancel(context.WithoutCancel(ctx))
	c.unschedule = unschedule
	c.scheduler.start(scheduled, options.Schedules)
	if options.Plans != nil {
		c.scheduler.startPlans(scheduled, options.Plans)
	}
	if options.Queues != nil {
		c.scheduler.startQueues(scheduled, options.Queues)
	}
	if options.Streams != nil {
		c.scheduler.startStreams(scheduled, options.Streams)
	}
	go func() { c.served <- c.server.Serve(listener) }()
	return c, nil
}

// URL is the base address, without a trailing slash.
func (c *Cloud) URL() string { return "http://" + c.listener.Addr().String() }

// Function returns the handler of a function, or nil if it does not exist.
func (c *Cloud) Function(name string) lambda.Handler { return c.invoke.Functions[name] }

// Close stops the listener and the schedules. It gives requests, asynchronous invocations and
// scheduled runs in flight five seconds, then cancels the rest and reports them.
func (c *Cloud) Close() error {
	c.unschedule()
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	c.waiting.close()
	err := c.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, c.server.Close())
	}
	idle := make(chan struct{})
	go func() { c.invoke.Wait(); c.scheduler.Wait(); close(idle) }()
	select {
	case <-idle:
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	if served := <-c.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	if err != nil {
		return fmt.Errorf("close local cloud: %w", err)
	}
	return nil
}

// router picks a handler by the prefix of the raw path. http.ServeMux would redirect `//` and `..`,
// which must reach the gateway unchanged.
type router struct {
	pages    map[string]http.Handler
	fallback http.Handler
}

func (r router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	path := rawPath(req)
	prefixes := slices.SortedFunc(maps.Keys(r.pages), func(a, b string) int { return len(b) - len(a) })
	for _, prefix := range prefixes {
		if strings.HasPrefix(path, prefix) {
			r.pages[prefix].ServeHTTP(w, req)
			return
		}
	}
	r.fallback.ServeHTTP(w, req)
}

type requestLog struct {
	log  *slog.Logger
	next http.Handler
}

func (l requestLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	watch := clock.StartStopwatch()
	seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	defer func() { // also when a panic aborts the reply
		l.log.Info("request served", append([]any{"method", r.Method, "path", rawPath(r), "status", seen.status,
			"request_id", w.Header().Get("X-Amzn-Requestid"), "duration_ms", watch.Elapsed().Milliseconds()}, seen.facts...)...)
	}()
	l.next.ServeHTTP(seen, r)
}

type statusWriter struct {
	http.ResponseWriter
	status int
	// facts are the gateway's log attributes for the request.
	facts []any
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap gives http.ResponseController access to the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// waitingConns are the connections that have not sent a request yet. Browsers and HTTP clients open
// some in advance, and Server.Shutdown waits five seconds for each.
type waitingConns struct {
	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
}

func (w *waitingConns) track(conn net.Conn, state http.ConnState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(w.conns, conn)
	case w.closed:
		_ = conn.Close() // accepted during Close
	default:
		if w.conns == nil {
			w.conns = map[net.Conn]bool{}
		}
		w.conns[conn] = true
	}
}

func (w *waitingConns) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for conn := range w.conns {
		_ = conn.Close() // it carried nothing yet
	}
}
