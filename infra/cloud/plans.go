package cloud

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsscheduler "github.com/aws/aws-sdk-go-v2/service/scheduler"
)

// PlansPath is the root of the schedules in the EventBridge Scheduler API.
const PlansPath = "/schedules/"

// A Plan starts a function once.
type Plan struct {
	Function string
	At       time.Time
	Payload  string
}

// Plans is the part of the EventBridge Scheduler API that creates and deletes one-time schedules
// with state machines as targets. It keeps schedules until they are due. It is safe for concurrent
// use.
type Plans struct {
	// Machines are the functions of state machines, by the machines' ARNs.
	Machines map[string]string

	mu    sync.Mutex
	plans map[string]Plan // by group/name
	added chan struct{}   // closed when one is added
}

// NewPlans returns an API for these state machines.
func NewPlans(machines map[string]string) *Plans {
	return &Plans{Machines: machines, plans: map[string]Plan{}, added: make(chan struct{})}
}

// Client returns a client that reaches the API without a network; its options run last.
func (p *Plans) Client(options ...func(*awsscheduler.Options)) *awsscheduler.Client {
	return awsscheduler.New(awsscheduler.Options{
		Region:       region,
		BaseEndpoint: aws.String("http://scheduler.invalid"),
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:   localClient{p},
	}, options...)
}

// All returns the plans, soonest first.
func (p *Plans) All() []Plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.SortedFunc(maps.Values(p.plans), func(a, b Plan) int { return a.At.Compare(b.At) })
}

// Take returns the plans that are due at now, soonest first, and forgets them.
func (p *Plans) Take(now time.Time) (due []Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.plans, func(_ string, plan Plan) bool {
		if plan.At.After(now) {
			return false
		}
		due = append(due, plan)
		return true
	})
	slices.SortFunc(due, func(a, b Plan) int { return a.At.Compare(b.At) })
	return due
}

// next returns when the next plan is due, and a channel that closes when another plan is added.
func (p *Plans) next() (at time.Time, some bool, added <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, plan := range p.plans {
		if !some || plan.At.Before(at) {
			at, some = plan.At, true
		}
	}
	return at, some, p.added
}

// createSchedule holds the supported part of a request (EventBridge Scheduler API reference,
// CreateSchedule).
type createSchedule struct {
	GroupName                  string
	ScheduleExpression         string
	ScheduleExpressionTimezone string
	FlexibleTimeWindow         struct{ Mode string }
	ActionAfterCompletion      string
	Target                     struct {
		Arn, RoleArn, Input string
		RetryPolicy         struct{ MaximumRetryAttempts, MaximumEventAgeInSeconds int }
		DeadLetterConfig    struct{ Arn string }
	}
}

var once = regexp.MustCompile(`^at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)$`)

// plan reads the request, or describes what is wrong with it.
func (p *Plans) plan(in createSchedule) (Plan, string) {
	at := once.FindStringSubmatch(in.ScheduleExpression)
	if at == nil {
		return Plan{}, "Invalid Schedule Expression " + in.ScheduleExpression + "."
	}
	instant, err := time.Parse("2006-01-02T15:04:05", at[1])
	function, known := p.Machines[in.Target.Arn]
	retries, age := in.Target.RetryPolicy.MaximumRetryAttempts, in.Target.RetryPolicy.MaximumEventAgeInSeconds
	switch {
	case err != nil || cmp.Or(in.ScheduleExpressionTimezone, "UTC") != "UTC":
		return Plan{}, "only instants in UTC are understood here"
	case in.FlexibleTimeWindow.Mode != "OFF" || in.ActionAfterCompletion != "DELETE":
		return Plan{}, "only schedules without a window that delete themselves are understood here"
	case !known:
		return Plan{}, "no such state machine: " + in.Target.Arn
	case in.Target.RoleArn == "" || in.Target.DeadLetterConfig.Arn == "":
		return Plan{}, "role or dead letter queue missing"
	case retries < 0 || retries > 185 || age < 60 || age > 86400:
		return Plan{}, "retry policy out of range"
	case !json.Valid([]byte(in.Target.Input)):
		return Plan{}, "input is not JSON"
	}
	return Plan{Function: function, At: instant, Payload: in.Target.Input}, ""
}

// ServeHTTP answers POST and DELETE of /schedules/{name}. Signatures are not checked.
func (p *Plans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	name, ours := strings.CutPrefix(r.URL.Path, PlansPath)
	if !ours || name == "" {
		failPlan(w, http.StatusNotFound, "UnknownOperationException", r.Method+" "+r.URL.Path+" is not known here")
		return
	}
	switch r.Method {
	case http.MethodPost:
		var in createSchedule
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			failPlan(w, http.StatusBadRequest, "ValidationException", "body is not JSON")
			return
		}
		plan, fault := p.plan(in)
		if fault != "" {
			failPlan(w, http.StatusBadRequest, "ValidationException", fault)
			return
		}
		if !p.add(in.GroupName+"/"+name, plan) {
			failPlan(w, http.StatusConflict, "ConflictException", "Schedule "+name+" already exists.")
			return
		}
		_, _ = w.Write(encode(map[string]string{"ScheduleArn": ARN("scheduler", "schedule/"+in.GroupName+"/"+name)}))
	case http.MethodDelete:
		if !p.remove(r.URL.Query().Get("groupName") + "/" + name) {
			failPlan(w, http.StatusNotFound, "ResourceNotFoundException", "Schedule "+name+" does not exist.")
			return
		}
		_, _ = w.Write([]byte("{}"))
	default:
		failPlan(w, http.StatusNotFound, "UnknownOperationException", r.Method+" is not known here")
	}
}

func (p *Plans) add(name string, plan Plan) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, there := p.plans[name]; there {
		return false
	}
	p.plans[name] = plan
	close(p.added)
	p.added = make(chan struct{})
	return true
}

func (p *Plans) remove(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, there := p.plans[name]
	delete(p.plans, name)
	return there
}

func failPlan(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("X-Amzn-Errortype", kind)
	w.WriteHeader(status)
	_, _ = w.Write(encode(map[string]string{"Message": message})) // the client has gone
}

type localClient struct{ api http.Handler }

func (c localClient) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	w := &planReply{header: http.Header{}, status: http.StatusOK}
	c.api.ServeHTTP(w, r)
	return &http.Response{
		StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r,
	}, nil
}

type planReply struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *planReply) Header() http.Header { return r.header }

func (r *planReply) WriteHeader(status int) { r.status = status }

func (r *planReply) Write(p []byte) (int, error) { return r.body.Write(p) }

type planGuard struct {
	function Function
	next     aws.HTTPClient
}

func (g planGuard) Do(r *http.Request) (*http.Response, error) {
	needed := []string{"scheduler:DeleteSchedule"}
	if r.Method == http.MethodPost {
		needed = []string{"scheduler:CreateSchedule", "iam:PassRole"}
	}
	for _, action := range needed {
		if !slices.Contains(g.function.Permissions, Permission{Action: action}) {
			return denied(r, "application/json", fmt.Sprintf("function %s is not authorized to perform: %s", g.function.Name, action)), nil
		}
	}
	return g.next.Do(r)
}
