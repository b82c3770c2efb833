//go:build acceptance

package proxies_test

import (
	"strings"
)

// A forgery is one line that a client adds to its request.
type forgery struct {
	group string // the row of the page
	line  string // without its line end
}

// name returns the header's name as sent, or "" where the line has none.
func (f forgery) name() string {
	name, _, _ := strings.Cut(f.line, ":")
	return strings.TrimSpace(name)
}

// identity are the headers by which a backend knows the caller.
var identity = []string{"X-Auth-User", "X-Auth-User-Id", "X-Auth-Token-Id", "X-Auth-Scopes", "X-Auth-Project"}

// separators are what HTTP allows in a name (RFC 9110 section 5.6.2) that is no letter, digit or hyphen. CGI, WSGI and
// PHP read each of them as they read the hyphen.
const separators = "!#$%&'*+.^_`|~"

// forgeries returns every forged line, in the order of the page.
func forgeries() (all []forgery) {
	add := func(group string, lines ...string) {
		for _, line := range lines {
			all = append(all, forgery{group, line})
		}
	}
	for _, name := range identity {
		add("the identity headers", name+": admin", strings.ToLower(name)+": admin", strings.ToUpper(name)+":")
		for _, separator := range []string{"_", "."} {
			add("with `"+separator+"` for `-`", strings.ReplaceAll(name, "-", separator)+": admin")
			add("with `"+separator+"` for one `-`", strings.Replace(name, "-", separator, 1)+": admin")
		}
		add("with `_` and `.` for `-`", strings.ReplaceAll(strings.Replace(name, "-", "_", 1), "-", ".")+": admin")
	}
	for _, separator := range separators {
		if separator != '_' && separator != '.' {
			add("with another character for `-`", strings.ReplaceAll("X-Auth-User", "-", string(separator))+": admin",
				"X-Auth"+string(separator)+"Scopes: sudo")
		}
	}
	add("with white space or a control character in or beside the name",
		"X-Auth-User : admin", "X-Auth-User\t: admin", " X-Auth-User: admin", "X-Auth User: admin", "X-Auth-User\x00: admin", "X-Auth\x01User: admin")
	add("named in `Connection`",
		"Connection: X-Auth-User", "Connection: keep-alive, X-Auth-User, X-Auth-Scopes", "Connection: x-auth-project", "Connection: Authorization, X-Auth-User")
	add("the request for other proxies: `X-Forwarded-Uri`, `X-Original-URI` and so on",
		"X-Forwarded-Uri: /orders/7", "X-Forwarded-Method: HEAD", "X-Original-URI: /orders/7", "X-Original-Method: HEAD",
		"X_Forwarded_Uri: /orders/7", "X_Original_URI: /orders/7", "X.Original.URI: /orders/7")
	add("another path for the backend: `X-Original-URL`, `X-Rewrite-URL`",
		"X-Original-URL: /admin/1", "X-Rewrite-URL: /admin/1", "X_Rewrite_URL: /admin/1", "X.Original.URL: /admin/1")
	add("another method for the backend: `X-HTTP-Method-Override` and so on",
		"X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE", "X-Method-Override: DELETE", "X_HTTP_Method_Override: DELETE",
		"X.HTTP.Method.Override: DELETE")
	add("the client's address: `X-Real-IP`, `Forwarded` and so on",
		"X-Real-IP: 198.51.100.1", "X-Forwarded-For: 198.51.100.1", "Forwarded: for=198.51.100.1", "X-Client-IP: 198.51.100.1",
		"X-Envoy-External-Address: 198.51.100.1", "X_Real_IP: 198.51.100.1", "True-Client-IP: 198.51.100.1")
	add("what other systems believe: `Remote-User`, `X-Forwarded-User` and so on",
		"Remote-User: admin", "X-Remote-User: admin", "X-Forwarded-User: admin", "X-Forwarded-Host: evil.example.test", "X-Forwarded-Prefix: /admin",
		"X-Auth-Reason: none", "Proxy: http://evil.example.test", "X-Envoy-Original-Path: /admin/1", "X-Envoy-Original-Host: evil.example.test",
		"X-Amzn-Remapped-Www-Authenticate: Basic")
	return all
}

// targets are request targets. The first is plain.
var targets = []string{
	"/orders/42", "/orders", "/orders/", "/orders/42/", "/orders/42?page=1", "/orders/42?next=/admin/1", "/orders/42?a=%2Fadmin", "/orders/42?",
	"/admin/1", "/Orders/42", "//orders/42", "/orders//42", "//admin/1", "///admin/1",
	"/orders/../admin/1", "/orders/42/../../admin/1", "/orders/./42", "/./orders/42", "/../orders/42", "/orders/..", "/orders/.../42",
	"/orders/%2e%2e/admin/1", "/orders/%2E%2E/admin/1", "/orders/.%2e/admin/1", "/orders/%2e%2e%2fadmin/1", "/orders/..%2fadmin/1", "/orders/..%2Fadmin%2F1",
	"/orders/%252e%252e/admin/1", "/orders%2f42", "/orders%2F..%2Fadmin%2F1", "/orders/%c0%ae%c0%ae/admin/1",
	`/orders\..\admin\1`, `/orders/..\admin\1`, "/orders/..%5cadmin%5c1", "/orders/%5c..%5cadmin",
	"/orders;/../admin/1", "/orders/..;/admin/1", "/orders/42;x=1", "/admin/1;/orders/42", "/orders/%3b/../admin/1",
	"/%6frders/42", "/orders/%34%32", "/%61dmin/1", "/orders/42%00/../../admin/1", "/orders/42%20", "/orders/42%09", "/orders/42%0d%0aX-Auth-User:%20admin",
	"/orders/42#/../../admin/1", "/admin/1#/orders/42", "/admin/1?/orders/42", "/admin/1%3f/orders/42", "/admin/1%23/orders/42",
	"/orders/é", "/orders/%C3%A9", "/orders/42%", "/orders/%zz", "/orders/%u002e%u002e/admin/1",
	"http://orders.example.test/admin/1", "http://evil.example.test/orders/42", "*", "orders/42", "",
	"/orders/" + strings.Repeat("a", 4000),
}
