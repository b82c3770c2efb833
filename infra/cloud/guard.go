package cloud

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

type guard struct {
	function Function
	next     dynamodb.HTTPClient
}

func (g guard) Do(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	needed, err := permissions(operation, body)
	if err != nil {
		return nil, err
	}
	for _, p := range needed {
		if !slices.ContainsFunc(g.function.Permissions, p.coveredBy) {
			return denied(r, "application/x-amz-json-1.0", fmt.Sprintf("function %s is not authorized to perform: %s (on an index: %t, key %s)", g.function.Name, p.action, p.index, p.key)), nil
		}
	}
	return g.next.Do(r)
}

type mailGuard struct {
	function Function
	next     aws.HTTPClient
}

func (g mailGuard) Do(r *http.Request) (*http.Response, error) {
	action := "ses:" + mailOperation(r)
	if !slices.Contains(g.function.Permissions, Permission{Action: action}) {
		return denied(r, "application/json", fmt.Sprintf("function %s is not authorized to perform: %s", g.function.Name, action)), nil
	}
	return g.next.Do(r)
}

// mailOperation returns the operation of a request (SES API reference v2, "Request Syntax" of
// each).
func mailOperation(r *http.Request) string {
	path := strings.TrimPrefix(r.URL.Path, "/v2/email/")
	for prefix, operation := range map[string]string{
		"POST outbound-emails":    "SendEmail",
		"GET account":             "GetAccount",
		"GET identities/":         "GetEmailIdentity",
		"GET configuration-sets/": "GetConfigurationSet",
	} {
		if strings.HasPrefix(r.Method+" "+path, prefix) {
			return operation
		}
	}
	return r.Method + " " + path
}

// need is the permission that one part of a request requires.
type need struct {
	action string
	index  bool
	key    string // partition key of the item, if the request names one
}

func (n need) coveredBy(p Permission) bool {
	if n.action != p.Action || n.index != p.Index {
		return false
	}
	prefix, open := strings.CutSuffix(p.Keys, "*")
	return p.Keys == "" || n.key == p.Keys || open && strings.HasPrefix(n.key, prefix)
}

// oneItem is the part of a request that names an item: a new item as a whole, or the key of an
// existing one.
type oneItem struct {
	Item, Key struct {
		PK struct{ S string } `json:"pk"`
	}
}

func (i oneItem) key() string { return cmp.Or(i.Item.PK.S, i.Key.PK.S) }

// permissions returns the actions that IAM checks. A transaction requires the permissions of its
// members ("IAM policies and transactions", DynamoDB developer guide).
func permissions(operation string, body []byte) ([]need, error) {
	var request struct {
		oneItem
		IndexName     string
		TransactItems []map[string]oneItem
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, fmt.Errorf("read DynamoDB request: %w", err)
	}
	if operation != "TransactWriteItems" && operation != "TransactGetItems" {
		return []need{{"dynamodb:" + operation, request.IndexName != "", request.key()}}, nil
	}
	var needed []need
	for _, member := range request.TransactItems {
		for kind, part := range member {
			action := "dynamodb:" + kind + "Item" // Put, Update, Delete, ConditionCheck, Get
			needed = append(needed, need{action: action, key: part.key()})
		}
	}
	return needed, nil
}

func denied(r *http.Request, contentType, message string) *http.Response {
	body := encode(map[string]string{"__type": "com.amazon.coral.service#AccessDeniedException", "message": message})
	return &http.Response{
		StatusCode: http.StatusBadRequest,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {contentType}},
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       r,
	}
}
