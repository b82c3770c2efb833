package bus_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"

	"latchkey/pkg/scope"
	"latchkey/pkg/stream"
	"latchkey/pkg/stream/bus"
)

// A request is what the bus was asked.
type request struct {
	target  string
	bytes   int
	Entries []map[string]any
}

// put puts events on a bus that answers the entries of each request with these error codes, "" for none.
func put(t *testing.T, events []stream.Event, answer func(w http.ResponseWriter, r request, try int)) (asked []request, done int, refused []stream.Refusal, err error) {
	t.Helper()
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		in := request{target: r.Header.Get("X-Amz-Target"), bytes: int(r.ContentLength)}
		_ = json.NewDecoder(r.Body).Decode(&in)
		asked = append(asked, in)
		answer(w, in, len(asked))
	}))
	defer server.Close()
	b := &bus.Bus{Name: "tokens", Client: eventbridge.New(eventbridge.Options{
		Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider("x", "x", ""),
		Retryer: retry.AddWithMaxBackoffDelay(retry.NewStandard(), time.Millisecond),
	}, bus.Configure(server.URL))}
	done, refused, err = b.Put(t.Context(), events)
	mu.Lock()
	defer mu.Unlock()
	return asked, done, refused, err
}

// codes answers entries, the first ones with these error codes.
func codes(codes ...string) func(http.ResponseWriter, request, int) {
	return func(w http.ResponseWriter, r request, _ int) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		results, failed := []map[string]string{}, 0
		for i := range r.Entries {
			if i < len(codes) && codes[i] != "" {
				results = append(results, map[string]string{"ErrorCode": codes[i], "ErrorMessage": "repeats the event"})
				failed++
				continue
			}
			results = append(results, map[string]string{"EventId": "e"})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"FailedEntryCount": failed, "Entries": results})
	}
}

func events(n int) []stream.Event {
	all := make([]stream.Event, n)
	for i := range all {
		all[i] = stream.Event{ID: fmt.Sprint(i), Type: stream.Created, Table: "arn:t"}
	}
	return all
}

// Breaks if the bus gets something else than the event, or more in a request than it takes.
func TestPut(t *testing.T) {
	asked, done, refused, err := put(t, events(23), codes())
	if err != nil || done != 23 || len(refused) != 0 || len(asked) != 3 || len(asked[0].Entries) != 10 || len(asked[2].Entries) != 3 {
		t.Fatalf("%d done, %v, %v, %d requests", done, refused, err, len(asked))
	}
	detail, err := json.Marshal(events(1)[0])
	if err != nil {
		t.Fatal(err)
	}
	entry := asked[0].Entries[0]
	delete(entry, "Time")
	want := map[string]any{"EventBusName": "tokens", "Source": "latchkey", "DetailType": "token.created", "Detail": string(detail), "Resources": []any{"arn:t"}}
	if asked[0].target != "AWSEvents.PutEvents" || !reflect.DeepEqual(entry, want) {
		t.Errorf("%s with %v, want %v", asked[0].target, entry, want)
	}
}

// Breaks if one large event keeps others from the bus, or if a request is larger than the bus takes.
func TestLargeEvents(t *testing.T) {
	all := events(6)
	for i, kilobytes := range []int{100, 100, 100, 300, 200, 1} {
		all[i].Token.Scopes = scope.Set{scope.Scope(strings.Repeat("s", kilobytes<<10))}
	}
	asked, done, refused, err := put(t, all, codes())
	if err != nil || done != 6 || !reflect.DeepEqual(refused, []stream.Refusal{{Event: 3, Code: "TooLarge"}}) {
		t.Errorf("%d done, %v, %v", done, refused, err)
	}
	var sizes []int
	for _, r := range asked {
		sizes = append(sizes, len(r.Entries))
		if r.bytes > 270_000 { // 256 KB and the request around them
			t.Errorf("a request of %d bytes", r.bytes)
		}
	}
	if want := []int{2, 1, 2}; !reflect.DeepEqual(sizes, want) {
		t.Errorf("requests of %v events, want %v", sizes, want)
	}
}

// Breaks if an event that the bus did not take counts as done, or if an error repeats an event.
func TestPutFails(t *testing.T) {
	refuse := func(status int, kind string) func(http.ResponseWriter, request, int) {
		return func(w http.ResponseWriter, _ request, _ int) {
			w.Header().Set("X-Amzn-Errortype", kind)
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"__type":%q,"message":"repeats the event"}`, kind)
		}
	}
	second := func(answer func(http.ResponseWriter, request, int)) func(http.ResponseWriter, request, int) {
		return func(w http.ResponseWriter, r request, try int) {
			if try == 1 {
				codes()(w, r, try)
				return
			}
			answer(w, r, try)
		}
	}
	for name, test := range map[string]struct {
		answer  func(http.ResponseWriter, request, int)
		done    int
		refused []stream.Refusal
		says    string
	}{
		"a throttled entry":                      {codes("", "", "ThrottlingException"), 2, nil, "ThrottlingException"},
		"a missing permission for an entry":      {codes("NotAuthorizedForDetailTypeException"), 0, nil, "NotAuthorized"},
		"an entry in the second request":         {second(codes("InternalFailure")), 10, nil, "InternalFailure"},
		"an entry that is never taken":           {codes("", "MalformedDetail"), 12, []stream.Refusal{{Event: 1, Code: "MalformedDetail"}, {Event: 11, Code: "MalformedDetail"}}, ""},
		"one that is never taken before another": {codes("InvalidArgument", "", "InternalException"), 2, []stream.Refusal{{Event: 0, Code: "InvalidArgument"}}, "InternalException"},
		"not allowed":                            {refuse(400, "AccessDeniedException"), 0, nil, "AccessDeniedException"},
		"out of order, from the second on":       {second(refuse(500, "InternalException")), 10, nil, "InternalException"},
		"no answer":                              {func(http.ResponseWriter, request, int) { panic(http.ErrAbortHandler) }, 0, nil, "no answer"},
		"an answer about other events": {func(w http.ResponseWriter, _ request, _ int) {
			_, _ = w.Write([]byte(`{"FailedEntryCount":0,"Entries":[{"EventId":"e"}]}`))
		}, 0, nil, "other events"},
	} {
		t.Run(name, func(t *testing.T) {
			_, done, refused, err := put(t, events(12), test.answer)
			if done != test.done || !reflect.DeepEqual(refused, test.refused) || (err == nil) != (test.says == "") {
				t.Fatalf("%d done, %v, %v", done, refused, err)
			}
			if err != nil && (!strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "repeats")) {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("a reply that was lost is asked for again", func(t *testing.T) {
		asked, done, _, err := put(t, events(1), func(w http.ResponseWriter, r request, try int) {
			if try == 1 {
				panic(http.ErrAbortHandler)
			}
			codes()(w, r, try)
		})
		if err != nil || done != 1 || len(asked) != 2 {
			t.Errorf("%d requests, %v", len(asked), err)
		}
	})
}
