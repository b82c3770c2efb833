package store

import (
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// WriteAt makes t write at an instant, for the ids of events.
func WriteAt(t *Table, instant time.Time) { t.instant = func() time.Time { return instant } }

// Attempts returns an HTTP client that ends every attempt after a time.
func Attempts(transport http.RoundTripper, limit time.Duration) dynamodb.HTTPClient {
	return attempts{transport, limit, nil}
}

// SpareOf returns under which name a spare connection to an address is kept.
func SpareOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return err.Error()
	}
	return u.Scheme + " " + addressOf(u)
}

// AttemptsOf returns how long a client's attempts may take, and how many idle connections it keeps.
func AttemptsOf(client dynamodb.HTTPClient) (limit time.Duration, idle int, ours bool) {
	own, ours := client.(attempts)
	if transport, plain := own.transport.(*http.Transport); plain {
		idle = transport.MaxIdleConnsPerHost
	}
	return own.time, idle, ours
}
