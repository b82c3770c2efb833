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
			return denied(r, "application/x-amz-json-1.0", fmt.Sprintf("function %s is not authorized to perform: %s (on an index: %t, keys %s, attributes %s)",
				g.function.Name, p.action, p.index, p.keys, p.attributes)), nil
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
	// keys are the partition keys of items. A BatchGetItem has several, which one statement has to cover.
	keys []string
	// attributes are those that the request names, in order.
	attributes []string
	returns    string // ReturnValues
}

func (n need) coveredBy(p Permission) bool {
	if n.action != p.Action || n.index != p.Index || p.Returns != "" && n.returns != p.Returns {
		return false
	}
	allowed := strings.Fields(p.Attributes)
	if p.Attributes != "" && slices.ContainsFunc(n.attributes, func(name string) bool { return !slices.Contains(allowed, name) }) {
		return false
	}
	patterns := strings.Fields(p.Keys)
	return p.Keys == "" || !slices.ContainsFunc(n.keys, func(key string) bool {
		return !slices.ContainsFunc(patterns, func(pattern string) bool {
			prefix, open := strings.CutSuffix(pattern, "*")
			return key == pattern || open && strings.HasPrefix(key, prefix)
		})
	})
}

// oneItem is the part of a request that is about an item: a new item as a whole, or the key of an
// existing one and what is done with it.
type oneItem struct {
	Item, Key                             map[string]struct{ S string }
	UpdateExpression, ConditionExpression string
	ExpressionAttributeNames              map[string]string
	ReturnValues                          string
}

func (i oneItem) need(action string, index bool) need {
	return need{action, index, []string{cmp.Or(i.Item["pk"].S, i.Key["pk"].S)}, i.attributes(), cmp.Or(i.ReturnValues, "NONE")}
}

// word matches what can be a name in an expression, with the parenthesis of a function.
var word = regexp.MustCompile(`[:#.]?[A-Za-z_][A-Za-z0-9_]*\s*\(?`)

// attributes returns the names of the request's attributes: of the item or its key, and of both
// expressions ("Condition keys for fine-grained access", DynamoDB developer guide).
func (i oneItem) attributes() []string {
	names := slices.AppendSeq(slices.Collect(maps.Keys(i.Item)), maps.Keys(i.Key))
	for _, name := range word.FindAllString(i.UpdateExpression+" "+i.ConditionExpression, -1) {
		name = strings.TrimSpace(name)
		switch {
		case strings.HasPrefix(name, "#"):
			names = append(names, i.ExpressionAttributeNames[name])
		case strings.ContainsAny(name, ":.("), slices.Contains([]string{"SET", "REMOVE", "ADD", "DELETE", "AND", "OR", "NOT", "IN", "BETWEEN"}, strings.ToUpper(name)):
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ofPartition matches the part of a query's condition that names the partition, which IAM takes for the leading key.
var ofPartition = regexp.MustCompile(`\b(?:pk|expiry_bucket) = (:\w+)`)

// permissions returns the actions that IAM checks. A transaction requires the permissions of its
// members ("IAM policies and transactions", DynamoDB developer guide).
func permissions(operation string, body []byte) ([]need, error) {
	var request struct {
		oneItem
		IndexName                 string
		ExpressionAttributeValues map[string]struct{ S string }
		TransactItems             []map[string]oneItem
		KeyConditionExpression    string
		RequestItems              map[string]struct {
			Keys []map[string]struct{ S string }
		}
	}
	if err := json.Unmarshal(body, &request); err != nil {
		return nil, fmt.Errorf("read DynamoDB request: %w", err)
	}
	var needed []need
	switch operation {
	case "TransactWriteItems", "TransactGetItems":
	case "BatchGetItem":
		batch := need{action: "dynamodb:BatchGetItem"}
		for _, table := range request.RequestItems {
			for _, key := range table.Keys {
				batch.keys = append(batch.keys, key["pk"].S)
			}
		}
		return []need{batch}, nil
	default:
		n := request.need("dynamodb:"+operation, request.IndexName != "")
		if value := ofPartition.FindStringSubmatch(request.KeyConditionExpression); value != nil {
			n.keys = []string{request.ExpressionAttributeValues[value[1]].S}
		}
		return []need{n}, nil
	}
	for _, member := range request.TransactItems {
		for kind, part := range member {
			action := "dynamodb:" + kind + "Item" // Put, Update, Delete, ConditionCheck, Get
			needed = append(needed, part.need(action, false))
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
