package gitlabapi

import (
	"net/http"
	"strings"
)

// GitLab lets the pages of every site call /api/* and read its headers; Latchkey's own are added. A browser sends no cookie with such a
// call and a cookie opens nothing below /api, so a page can do only what its own bearer can.
// `Access-Control-Allow-Credentials` is never set.
const (
	exposedHeaders = "Link, Retry-After, " + childrenHeader + ", " + successorHeader + ", " + expiresHeader +
		", X-Next-Page, X-Page, X-Per-Page, X-Prev-Page, X-Request-Id, X-Total, X-Total-Pages"
	// `*` covers every header but Authorization (Fetch, "CORS-preflight fetch").
	allowedHeaders = "*, Authorization"
	allowedMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
	// preflightSeconds is how long browsers may keep the answer to a preflight; none keeps it longer than a day.
	preflightSeconds = "7200"
)

// allowOrigin adds the headers of CORS to the reply to a page, as GitLab does. No reply may be kept (no-store), so
// none needs `Vary`.
func (c *call) allowOrigin() {
	if c.api.AllowedOrigin == "" || c.r.Header.Get("Origin") == "" || !strings.HasPrefix(c.r.URL.EscapedPath(), "/api/") {
		return
	}
	h := c.header()
	h.Set("Access-Control-Allow-Origin", c.api.AllowedOrigin)
	h.Set("Access-Control-Expose-Headers", exposedHeaders)
	if c.isPreflight() {
		h.Set("Access-Control-Allow-Methods", allowedMethods)
		h.Set("Access-Control-Allow-Headers", allowedHeaders)
		h.Set("Access-Control-Max-Age", preflightSeconds)
	}
}

// isPreflight reports whether a browser asks if a page may send a request. It carries no bearer and reaches no
// route.
func (c *call) isPreflight() bool {
	return c.r.Method == http.MethodOptions && c.header().Get("Access-Control-Allow-Origin") != "" && c.r.Header.Get("Access-Control-Request-Method") != ""
}
