package cloud

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"mime"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"golang.org/x/time/rate"

	"latchkey/pkg/clock"
)

// methodARN returns method and path in the form of a policy's resources; the path is raw.
func (x *exchange) methodARN() string {
	return fmt.Sprintf("arn:%s:execute-api:%s:%s:%s/%s/%s/%s", partition, region, accountID, x.g.ID, x.g.Stage, x.request.Method, strings.TrimLeft(x.path, "/"))
}

// Limits of API Gateway REST APIs ("Amazon API Gateway quotas and important notes").
const (
	bodyLimit          = 10 << 20 // bytes of a request's body
	headerLimit        = 10240    // bytes of request line and headers
	integrationTimeout = 29 * time.Second
)

// API is a REST API with Lambda proxy integrations.
type API struct {
	ID, Stage string
	// BasePath is that of a custom domain's mapping, such as `/keys`. The paths of events keep it, and
	// routes and policies do not have it. Without one, requests come to the API's own domain.
	BasePath  string
	Routes    []Route
	Functions map[string]lambda.Handler
	// Timeouts are the functions' timeouts by name; the default is the integration's.
	Timeouts  map[string]time.Duration
	Responses map[string]GatewayResponse
	// Throttles limit methods; none for no limits.
	Throttles []MethodThrottle
	// BinaryMediaTypes are the media types whose bodies travel as base64.
	BinaryMediaTypes []string
	// Backend answers every route in place of the functions: an HTTP proxy integration.
	Backend *url.URL
	// Authorizer guards every route; nil leaves them open.
	Authorizer *Authorizer
	// IntegrationTimeout is how long a reply may take; 0 means API Gateway's 29 seconds.
	IntegrationTimeout time.Duration
	Clock              clock.Clock
}

// NewGateway serves an API as API Gateway does. It returns an error for a route whose function has
// no handler.
func NewGateway(api API) (http.Handler, error) {
	g := &gateway{API: api, buckets: map[string]*rate.Limiter{}}
	g.IntegrationTimeout = cmp.Or(g.IntegrationTimeout, integrationTimeout)
	for _, route := range api.Routes {
		if api.Functions[route.Function] == nil {
			return nil, fmt.Errorf("route %s %s: no handler for function %q", route.Method, route.Path, route.Function)
		}
		at := slices.IndexFunc(g.resources, func(r apiResource) bool { return r.path == route.Path })
		if at < 0 {
			at = len(g.resources)
			g.resources = append(g.resources, apiResource{path: route.Path, segments: segments(route.Path), methods: map[string]string{}})
		}
		g.resources[at].methods[route.Method] = route.Function
	}
	slices.SortFunc(g.resources, moreSpecific)
	return g, nil
}

type gateway struct {
	API
	mu        sync.Mutex
	buckets   map[string]*rate.Limiter // by method and path
	resources []apiResource            // the most specific first
}

type apiResource struct {
	path     string
	segments []string
	methods  map[string]string // function by method
}

func segments(path string) []string { return strings.Split(strings.TrimPrefix(path, "/"), "/") }

// moreSpecific orders literals before parameters and parameters before greedy ones, from the left.
func moreSpecific(a, b apiResource) int {
	rank := func(s string) int {
		switch {
		case strings.HasSuffix(s, "+}"):
			return 2
		case strings.HasPrefix(s, "{"):
			return 1
		}
		return 0
	}
	for i := range min(len(a.segments), len(b.segments)) {
		if order := cmp.Compare(rank(a.segments[i]), rank(b.segments[i])); order != 0 {
			return order
		}
	}
	return cmp.Or(cmp.Compare(len(b.segments), len(a.segments)), strings.Compare(a.path, b.path))
}

// match compares raw segments, without decoding: `acme%2Fweb` is one segment.
func (r apiResource) match(path []string) (parameters map[string]string, ok bool) {
	for i, segment := range r.segments {
		name, isParameter := strings.CutPrefix(segment, "{")
		name = strings.TrimSuffix(name, "}")
		greedy := strings.HasSuffix(name, "+")
		switch {
		case i >= len(path), isParameter && path[i] == "" && !greedy, !isParameter && segment != path[i]:
			return nil, false
		case !isParameter:
			continue
		}
		if parameters == nil {
			parameters = map[string]string{}
		}
		if greedy {
			rest := strings.Join(path[i:], "/")
			parameters[strings.TrimSuffix(name, "+")] = rest
			return parameters, rest != ""
		}
		parameters[name] = path[i]
	}
	return parameters, len(path) == len(r.segments)
}

// find returns the resource for a path. As in API Gateway, leading slashes count as one, and routes
// that are not greedy ignore one trailing slash; slashes within a path count. The event carries the
// raw path.
func (g *gateway) find(path string) (*apiResource, map[string]string) {
	path = strings.TrimLeft(path, "/")
	exact := strings.Split(path, "/")
	trimmed := strings.Split(strings.TrimSuffix(path, "/"), "/")
	for i := range g.resources {
		r := &g.resources[i]
		candidate := trimmed
		if strings.HasSuffix(r.path, "+}") {
			candidate = exact
		}
		if parameters, ok := r.match(candidate); ok {
			return r, parameters
		}
	}
	return nil, nil
}

// ErrorType is the header that only the gateway's own replies have. Here it has the type of the gateway response, in AWS
// the name of an exception.
const ErrorType = "X-Amzn-Errortype"

// exchange is one request on its way through the gateway.
type exchange struct {
	g         *gateway
	request   *http.Request
	requestID string
	received  time.Time
	path      string // raw, without the base path
	resource  *apiResource
	method    string // the route's: the request's or ANY
	function  string
	event     proxyEvent
	// authorizer is the authorizer's context, for the event and for gateway responses.
	authorizer map[string]any
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{g: g, request: r, requestID: newID(), received: g.Clock.Now(), path: rawPath(r)}
	w.Header().Set("X-Amzn-Requestid", x.requestID)
	err := x.serve(w)
	if seen, ok := w.(*statusWriter); ok {
		seen.facts = x.facts(err)
	}
	if err != nil {
		fault := new(gatewayFault)
		if !errors.As(err, &fault) {
			fault = &gatewayFault{"DEFAULT_5XX", http.StatusInternalServerError, "Internal server error"}
		}
		x.refuse(w, fault)
	}
}

// facts returns the attributes for the request log: the token that the authorizer accepted, and why
// the gateway itself answered. Functions log their own facts.
func (x *exchange) facts(err error) (attrs []any) {
	for _, name := range [][2]string{{"token_id", "token_id"}, {"owner", "user_id"}, {"scopes", "scopes"}} {
		if value, ok := x.authorizer[name[1]]; ok {
			attrs = append(attrs, name[0], value)
		}
	}
	if err != nil {
		attrs = append(attrs, "reason", err.Error())
	}
	return attrs
}

// shown returns the request's path as events show it, with the base path.
func (x *exchange) shown() string { return x.g.BasePath + x.path }

// contextPath returns the request's path as the context shows it: with the base path of a custom
// domain, or else with the stage.
func (x *exchange) contextPath() string {
	if x.g.BasePath != "" {
		return x.shown()
	}
	return "/" + x.g.Stage + x.path
}

// routeKey is the route in the form of HTTP APIs.
func (x *exchange) routeKey() string { return x.method + " " + x.resource.path }

// rawPath returns the path before any decoding or cleaning.
func rawPath(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return path
	}
	return r.URL.EscapedPath()
}

func newID() string {
	const version = 4
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	b[6], b[8] = b[6]&0x0f|version<<4, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (x *exchange) serve(w http.ResponseWriter) error {
	if rest, below := strings.CutPrefix(x.path, x.g.BasePath); below && (rest == "" || rest[0] == '/') {
		x.path = rest
	} else {
		return errForbidden // the domain has no such mapping
	}
	if headerBytes(x.request) > headerLimit {
		return &gatewayFault{"DEFAULT_4XX", http.StatusRequestHeaderFieldsTooLarge, "Request Header Fields Too Large"}
	}
	var parameters map[string]string
	if x.resource, parameters = x.g.find(x.path); x.resource != nil {
		for _, method := range []string{x.request.Method, "ANY"} {
			if function, ok := x.resource.methods[method]; ok {
				x.method, x.function = method, function
				break
			}
		}
	}
	if x.function == "" {
		return &gatewayFault{"MISSING_AUTHENTICATION_TOKEN", http.StatusForbidden, "Missing Authentication Token"}
	}
	if !x.g.admits(x.method, x.resource.path) {
		return &gatewayFault{"THROTTLED", http.StatusTooManyRequests, "Too Many Requests"}
	}
	body, err := io.ReadAll(io.LimitReader(x.request.Body, bodyLimit+1))
	if err != nil {
		return &gatewayFault{"BAD_REQUEST_BODY", http.StatusBadRequest, "Invalid request body"}
	}
	if len(body) > bodyLimit {
		return errTooLarge
	}
	x.event = x.newEvent(parameters)
	x.event.setBody(body, x.g.isBinary(x.request.Header.Get("Content-Type")))
	if x.g.Authorizer != nil {
		if x.authorizer, err = x.g.Authorizer.decide(x); err != nil {
			return err
		}
		x.event.RequestContext.Authorizer = x.authorizer
	}
	if x.g.Backend != nil {
		return x.forward(w, body)
	}
	return x.integrate(w)
}

func headerBytes(r *http.Request) int {
	n := len(r.Method) + len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			n += len(name) + len(value)
		}
	}
	return n
}

func (g *gateway) isBinary(contentType string) bool {
	mediaType, _, _ := mime.ParseMediaType(contentType)
	return slices.ContainsFunc(g.BinaryMediaTypes, func(binary string) bool { return binary == "*/*" || binary == mediaType && mediaType != "" })
}

// proxyEvent is the input of a Lambda proxy integration, format 1.0. The event types of the Lambda
// library write empty strings where API Gateway writes null, so it is declared here.
type proxyEvent struct {
	Resource                        string              `json:"resource"`
	Path                            string              `json:"path"`
	HTTPMethod                      string              `json:"httpMethod"`
	Headers                         map[string]string   `json:"headers"`
	MultiValueHeaders               map[string][]string `json:"multiValueHeaders"`
	QueryStringParameters           map[string]string   `json:"queryStringParameters"`
	MultiValueQueryStringParameters map[string][]string `json:"multiValueQueryStringParameters"`
	PathParameters                  map[string]string   `json:"pathParameters"`
	StageVariables                  map[string]string   `json:"stageVariables"`
	RequestContext                  requestContext      `json:"requestContext"`
	Body                            *string             `json:"body"`
	IsBase64Encoded                 bool                `json:"isBase64Encoded"`
}

type requestContext struct {
	ResourceID        string         `json:"resourceId"`
	Authorizer        map[string]any `json:"authorizer,omitempty"`
	ResourcePath      string         `json:"resourcePath"`
	HTTPMethod        string         `json:"httpMethod"`
	ExtendedRequestID string         `json:"extendedRequestId"`
	RequestTime       string         `json:"requestTime"`
	Path              string         `json:"path"`
	AccountID         string         `json:"accountId"`
	Protocol          string         `json:"protocol"`
	Stage             string         `json:"stage"`
	DomainPrefix      string         `json:"domainPrefix"`
	RequestTimeEpoch  int64          `json:"requestTimeEpoch"`
	RequestID         string         `json:"requestId"`
	Identity          identity       `json:"identity"`
	DomainName        string         `json:"domainName"`
	APIID             string         `json:"apiId"`
}

// identity has only an address and an agent; the other fields are null, because requests carry no
// signatures and no client certificates.
type identity struct {
	CognitoIdentityPoolID         *string `json:"cognitoIdentityPoolId"`
	AccountID                     *string `json:"accountId"`
	CognitoIdentityID             *string `json:"cognitoIdentityId"`
	Caller                        *string `json:"caller"`
	SourceIP                      string  `json:"sourceIp"`
	PrincipalOrgID                *string `json:"principalOrgId"`
	AccessKey                     *string `json:"accessKey"`
	CognitoAuthenticationType     *string `json:"cognitoAuthenticationType"`
	CognitoAuthenticationProvider *string `json:"cognitoAuthenticationProvider"`
	UserARN                       *string `json:"userArn"`
	UserAgent                     *string `json:"userAgent"`
	User                          *string `json:"user"`
}

func (x *exchange) newEvent(parameters map[string]string) proxyEvent {
	r := x.request
	sourceIP, _, _ := net.SplitHostPort(r.RemoteAddr)
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		host, port = r.Host, "80"
	}
	headers := r.Header.Clone()
	headers.Set("Host", r.Host)
	headers.Set("X-Amzn-Trace-Id", fmt.Sprintf("Root=1-%08x-%s", x.received.Unix(), strings.ReplaceAll(x.requestID, "-", "")[:24]))
	headers.Add("X-Forwarded-For", sourceIP)
	headers.Set("X-Forwarded-Port", port)
	headers.Set("X-Forwarded-Proto", "http")
	var agent *string
	if ua := r.UserAgent(); ua != "" {
		agent = &ua
	}
	query := queryOf(r.URL.RawQuery)
	prefix, _, _ := strings.Cut(host, ".")
	return proxyEvent{
		Resource:                        x.resource.path,
		Path:                            x.shown(),
		HTTPMethod:                      r.Method,
		Headers:                         last(headers),
		MultiValueHeaders:               headers,
		QueryStringParameters:           last(query),
		MultiValueQueryStringParameters: query,
		PathParameters:                  parameters,
		RequestContext: requestContext{
			ResourceID:        fmt.Sprintf("%06x", slices.IndexFunc(x.g.resources, func(r apiResource) bool { return r.path == x.resource.path })),
			ResourcePath:      x.resource.path,
			HTTPMethod:        r.Method,
			ExtendedRequestID: strings.ReplaceAll(newID(), "-", "")[:15] + "=",
			RequestTime:       x.received.Format("02/Jan/2006:15:04:05 -0700"),
			Path:              x.contextPath(),
			AccountID:         accountID,
			Protocol:          r.Proto,
			Stage:             x.g.Stage,
			DomainPrefix:      prefix,
			RequestTimeEpoch:  x.received.UnixMilli(),
			RequestID:         x.requestID,
			Identity:          identity{SourceIP: sourceIP, UserAgent: agent},
			DomainName:        r.Host,
			APIID:             x.g.ID,
		},
	}
}

func (e *proxyEvent) setBody(body []byte, binary bool) {
	if len(body) == 0 {
		return
	}
	text := string(body)
	if e.IsBase64Encoded = binary; binary {
		text = base64.StdEncoding.EncodeToString(body)
	}
	e.Body = &text
}

// queryOf decodes a query and passes on undecodable text as it is.
func queryOf(raw string) map[string][]string {
	decode := func(s string) string {
		if out, err := url.QueryUnescape(s); err == nil {
			return out
		}
		return s
	}
	var out map[string][]string
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		if out == nil {
			out = map[string][]string{}
		}
		name, value, _ := strings.Cut(pair, "=")
		name = decode(name)
		out[name] = append(out[name], decode(value))
	}
	return out
}

func last(multi map[string][]string) map[string]string {
	if len(multi) == 0 {
		return nil
	}
	out := make(map[string]string, len(multi))
	for name, values := range multi {
		out[name] = values[len(values)-1]
	}
	return out
}

type proxyReply struct {
	StatusCode        *json.Number        `json:"statusCode"`
	Headers           map[string]any      `json:"headers"`
	MultiValueHeaders map[string][]string `json:"multiValueHeaders"`
	Body              *string             `json:"body"`
	IsBase64Encoded   bool                `json:"isBase64Encoded"`
}

var (
	errTooLarge   = &gatewayFault{"REQUEST_TOO_LARGE", http.StatusRequestEntityTooLarge, "Request Entity Too Large"}
	errBadGateway = &gatewayFault{"DEFAULT_5XX", http.StatusBadGateway, "Internal server error"}
	errTimeout    = &gatewayFault{"INTEGRATION_TIMEOUT", http.StatusGatewayTimeout, "Endpoint request timed out"}
	// errUnreachable is for HTTP integrations.
	errUnreachable = &gatewayFault{"INTEGRATION_FAILURE", http.StatusGatewayTimeout, "Network error communicating with endpoint"}
)

func (x *exchange) integrate(w http.ResponseWriter) error {
	payload := encode(x.event)
	if len(payload) > payloadLimit {
		return errTooLarge
	}
	out, err := x.callFunction(payload)
	if err != nil {
		return err
	}
	var reply proxyReply
	if err := json.Unmarshal(out, &reply); err != nil || reply.StatusCode == nil {
		return errBadGateway
	}
	status, err := strconv.Atoi(reply.StatusCode.String())
	if err != nil || status < 100 || status > 599 {
		return errBadGateway
	}
	body := []byte{}
	if reply.Body != nil {
		body = []byte(*reply.Body)
	}
	accepts, _, _ := strings.Cut(x.request.Header.Get("Accept"), ",")
	if reply.IsBase64Encoded && x.g.isBinary(accepts) {
		if body, err = base64.StdEncoding.DecodeString(string(body)); err != nil {
			return errBadGateway
		}
	}
	for name, value := range reply.Headers {
		if value != nil {
			w.Header().Set(remapped(name), fmt.Sprint(value))
		}
	}
	for name, values := range reply.MultiValueHeaders {
		w.Header()[http.CanonicalHeaderKey(remapped(name))] = values
	}
	if w.Header().Get("Content-Type") == "" && len(body) > 0 {
		w.Header().Set("Content-Type", "application/json") // API Gateway's default
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller has gone
	return nil
}

// remapped renames the headers that API Gateway reserves ("Important notes for REST APIs", remapped
// headers). For example, a function's WWW-Authenticate reaches the caller under another name.
func remapped(name string) string {
	switch canonical := http.CanonicalHeaderKey(name); canonical {
	case "Authorization", "Content-Length", "Content-Md5", "Date", "Host", "Server", "User-Agent", "Www-Authenticate":
		return "X-Amzn-Remapped-" + canonical
	}
	return name
}

// callFunction stops waiting after the integration's timeout; the function continues.
func (x *exchange) callFunction(payload []byte) ([]byte, error) {
	wait, cancel := context.WithTimeout(x.request.Context(), x.g.IntegrationTimeout)
	defer cancel()
	type result struct {
		out []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		timeout := cmp.Or(x.g.Timeouts[x.function], maxTimeout)
		out, err := call(x.request.Context(), x.function, x.g.Functions[x.function], timeout, x.requestID, payload)
		done <- result{out, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, errBadGateway
		}
		return r.out, nil
	case <-wait.Done():
		return nil, errTimeout
	}
}

// refuse writes a gateway response: the template's for this type, the template's default for the
// class, or API Gateway's own.
func (x *exchange) refuse(w http.ResponseWriter, fault *gatewayFault) {
	class := "DEFAULT_4XX"
	if fault.status >= http.StatusInternalServerError {
		class = "DEFAULT_5XX"
	}
	shape, ok := x.g.Responses[fault.kind]
	if !ok {
		shape = x.g.Responses[class]
	}
	template, ok := shape.Templates["application/json"]
	if !ok {
		template = `{"message":$context.error.messageString}`
		if fault.kind == "ACCESS_DENIED" {
			template = `{"Message":$context.error.messageString}`
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set(ErrorType, fault.kind)
	for name, value := range shape.Headers {
		if literal, ok := strings.CutPrefix(value, "'"); ok {
			value = strings.TrimSuffix(literal, "'")
		} else {
			value = x.variable(value, fault)
		}
		w.Header().Set(name, value)
	}
	w.WriteHeader(cmp.Or(shape.StatusCode, fault.status))
	body := contextVariable.ReplaceAllStringFunc(template, func(name string) string { return x.variable(name[1:], fault) })
	_, _ = w.Write([]byte(body)) // the caller has gone
}

// variable resolves a reference to the request's context; unknown names are empty.
func (x *exchange) variable(name string, fault *gatewayFault) string {
	if strings.HasPrefix(name, "context.error.") && fault == nil {
		return ""
	}
	switch name {
	case "context.error.message":
		return fault.message
	case "context.error.messageString":
		return string(encode(fault.message))
	case "context.error.responseType":
		return fault.kind
	case "context.requestId":
		return x.requestID
	case "context.stage":
		return x.g.Stage
	case "context.httpMethod":
		return x.request.Method
	case "context.path":
		return x.contextPath()
	case "context.identity.sourceIp":
		return x.event.RequestContext.Identity.SourceIP
	case "context.routeKey":
		return x.routeKey()
	}
	if key, ok := strings.CutPrefix(name, "context.authorizer."); ok {
		if v, ok := x.authorizer[key]; ok {
			return fmt.Sprint(v)
		}
	}
	return ""
}

// forward is an HTTP proxy integration. It passes the request to the backend, with the authorizer's
// context as headers.
func (x *exchange) forward(w http.ResponseWriter, body []byte) (failure error) {
	path, err := url.ParseRequestURI(x.path)
	if err != nil {
		return &gatewayFault{"BAD_REQUEST_PARAMETERS", http.StatusBadRequest, "Invalid path"}
	}
	ctx, cancel := context.WithTimeout(x.request.Context(), x.g.IntegrationTimeout)
	defer cancel()
	request := x.request.WithContext(ctx)
	request.Body, request.ContentLength = http.NoBody, int64(len(body))
	if len(body) > 0 {
		request.Body = io.NopCloser(bytes.NewReader(body))
	}
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Path, p.Out.URL.RawPath = path.Path, path.RawPath
			p.SetURL(x.g.Backend)
			p.SetXForwarded()
			x.introduce(p.Out.Header)
		},
		ErrorLog: log.New(io.Discard, "", 0), // the gateway's answer and the request log report it
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) {
			failure = unreachable(err)
		},
	}
	proxy.ServeHTTP(w, request)
	return failure
}

// introduce adds headers about the caller and removes the client's own headers of these names. Many
// servers treat an underscore in a header's name as a hyphen.
func (x *exchange) introduce(header http.Header) {
	for name := range header {
		if strings.HasPrefix(strings.ToLower(strings.ReplaceAll(name, "_", "-")), strings.ToLower(callerHeader)) {
			delete(header, name)
		}
	}
	for key, value := range x.authorizer {
		if key != "principalId" { // repeats the account's id
			header.Set(callerHeader+strings.ReplaceAll(key, "_", "-"), fmt.Sprint(value))
		}
	}
}
