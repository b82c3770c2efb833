// Package bus puts the events of package stream on a bus of EventBridge. Start with Bus.
package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"

	"latchkey/pkg/stream"
)

// Source is the source of the events, which the function's permission names.
const Source = "latchkey"

// The limits of a request (EventBridge user guide, "PutEvents"; API reference, PutEvents).
const (
	maxEntries = 10
	maxBytes   = 256 << 10
	timeBytes  = 14 // what an entry's time counts
)

// attemptTimeout lets the SDK's three attempts finish long before the function's deadline.
const attemptTimeout = 3 * time.Second

// A Bus is a bus of EventBridge.
type Bus struct {
	Client *eventbridge.Client
	Name   string
}

var _ stream.Bus = (*Bus)(nil)

// Configure returns the options of a client. endpoint overrides the region's buses, or is "".
func Configure(endpoint string) func(*eventbridge.Options) {
	return func(o *eventbridge.Options) {
		if client, ours := o.HTTPClient.(*awshttp.BuildableClient); ours {
			o.HTTPClient = client.WithTimeout(attemptTimeout)
		}
		if endpoint != "" {
			o.BaseEndpoint = &endpoint
		}
	}
}

// Put implements stream.Bus. It stops at the first request of which the bus did not take everything: all
// that follow are delivered again anyway.
func (b *Bus) Put(ctx context.Context, events []stream.Event) (done int, refused []stream.Refusal, err error) {
	entries := make([]types.PutEventsRequestEntry, len(events))
	for i, e := range events {
		entries[i] = b.entry(e)
	}
	for done < len(events) {
		if size(entries[done]) > maxBytes {
			refused = append(refused, stream.Refusal{Event: done, Code: "TooLarge"})
			done++
			continue
		}
		n := fitting(entries[done:])
		out, err := b.Client.PutEvents(ctx, &eventbridge.PutEventsInput{Entries: entries[done : done+n]})
		if err != nil {
			return done, refused, describe(err)
		}
		if len(out.Entries) != n {
			return done, refused, errors.New("bus: an answer about other events")
		}
		for i, result := range out.Entries {
			code := aws.ToString(result.ErrorCode)
			switch {
			case code == "":
			case slices.Contains(lasting, code):
				refused = append(refused, stream.Refusal{Event: done + i, Code: code})
			default:
				return done + i, refused, fmt.Errorf("bus: %s", code)
			}
		}
		done += n
	}
	return done, refused, nil
}

// lasting are the errors of an entry that no repetition mends. A missing permission is none of them,
// because an operator can give it (API reference, PutEventsResultEntry).
var lasting = []string{"InvalidArgument", "MalformedDetail"}

func (b *Bus) entry(e stream.Event) types.PutEventsRequestEntry {
	detail, err := json.Marshal(e)
	if err != nil {
		panic("bus: " + err.Error()) // texts and numbers always encode
	}
	entry := types.PutEventsRequestEntry{
		EventBusName: &b.Name, Source: aws.String(Source), DetailType: aws.String(string(e.Type)), Detail: aws.String(string(detail)), Time: aws.Time(e.At()),
	}
	if e.Table != "" {
		entry.Resources = []string{e.Table}
	}
	return entry
}

// fitting returns how many entries fit into a request. The first one does.
func fitting(entries []types.PutEventsRequestEntry) int {
	bytes := 0
	for i, e := range entries {
		if bytes += size(e); i == maxEntries || bytes > maxBytes {
			return i
		}
	}
	return len(entries)
}

// size is what EventBridge counts of an entry ("Calculating PutEvents event entry size").
func size(e types.PutEventsRequestEntry) int {
	n := timeBytes + len(*e.Source) + len(*e.DetailType) + len(*e.Detail)
	for _, resource := range e.Resources {
		n += len(resource)
	}
	return n
}

// describe leaves out what the bus says, which may repeat the event.
func describe(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Errorf("bus: %s", api.ErrorCode())
	}
	return errors.New("bus: no answer")
}
