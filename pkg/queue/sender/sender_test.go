package sender_test

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
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
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"latchkey/pkg/fault"
	"latchkey/pkg/queue/sender"
	"latchkey/pkg/token"
)

const queueURL = "https://sqs.eu-central-1.amazonaws.com/123456789012/leaks.fifo"

// send adds two tokens to a queue that answers as answer does, and returns what it was asked.
func send(t *testing.T, answer func(w http.ResponseWriter, body string, try int)) (asked []map[string]any, err error) {
	t.Helper()
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var in map[string]any
		_ = json.NewDecoder(r.Body).Decode(&in)
		in["target"] = r.Header.Get("X-Amz-Target")
		asked = append(asked, in)
		answer(w, in["MessageBody"].(string), len(asked))
	}))
	defer server.Close()
	s := &sender.Sender{URL: queueURL, Client: sqs.New(sqs.Options{
		Region: "eu-central-1", Credentials: credentials.NewStaticCredentialsProvider("x", "x", ""),
		Retryer: retry.AddWithMaxBackoffDelay(retry.NewStandard(), time.Millisecond),
	}, sender.Configure(server.URL))}
	err = s.Add(t.Context(), []token.ID{4194305, 8388609})
	mu.Lock()
	defer mu.Unlock()
	return asked, err
}

func accept(w http.ResponseWriter, body string, _ int) {
	sum := md5.Sum([]byte(body))
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_, _ = fmt.Fprintf(w, `{"MessageId":"m","MD5OfMessageBody":%q}`, hex.EncodeToString(sum[:]))
}

func refuse(status int, kind string) func(http.ResponseWriter, string, int) {
	return func(w http.ResponseWriter, _ string, _ int) {
		w.Header().Set("X-Amzn-Errortype", kind)
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"__type":%q,"message":"repeats what was asked"}`, kind)
	}
}

// Breaks if more than ids leaves the function, or if two reports of a token can be mailed at the same
// time, which one message group prevents.
func TestAdd(t *testing.T) {
	asked, err := send(t, accept)
	want := []map[string]any{{
		"target": "AmazonSQS.SendMessage", "QueueUrl": queueURL, "MessageBody": `{"tokens":[4194305,8388609]}`, "MessageGroupId": "leaks",
	}}
	if err != nil || !reflect.DeepEqual(asked, want) {
		t.Errorf("sent %v, want %v, %v", asked, want, err)
	}
}

// Breaks if ids that are not queued are taken for queued, or if an error repeats the message.
func TestAddFails(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter, string, int){
		"not allowed":     refuse(400, "AccessDeniedException"),
		"no such queue":   refuse(400, "QueueDoesNotExist"),
		"out of order":    refuse(500, "InternalFailure"),
		"no answer":       func(http.ResponseWriter, string, int) { panic(http.ErrAbortHandler) },
		"a wrong message": func(w http.ResponseWriter, _ string, _ int) { accept(w, "another", 0) },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := send(t, answer)
			if !errors.Is(err, fault.ErrUnavailable) || strings.Contains(err.Error(), "4194305") || strings.Contains(err.Error(), "repeats") {
				t.Errorf("error %v", err)
			}
		})
	}
	t.Run("a reply that was lost is asked for again", func(t *testing.T) {
		tries := 0
		_, err := send(t, func(w http.ResponseWriter, body string, try int) {
			if tries = try; try == 1 {
				panic(http.ErrAbortHandler)
			}
			accept(w, body, try)
		})
		if err != nil || tries != 2 {
			t.Errorf("%d tries, %v", tries, err)
		}
	})
}
