package cloud

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// errOpen means that the cloud would answer other machines without a word from its user.
var errOpen = errors.New("listens beyond this machine, which needs the names by which clients call it")

// A door keeps web pages of others out. A browser on this machine sends their requests here too, and
// behind some paths nothing asks for a bearer. A page cannot change its Origin. With a DNS name that
// turns into 127.0.0.1 it would share the origin, but then the Host is that name.
type door struct {
	// hosts are further names, as in Options.Hosts.
	hosts []string
	// open says that the cloud listens beyond this machine, so that its addresses are Hosts too. No
	// DNS name can turn into the Host of another address.
	open bool
	next http.Handler
}

func (d door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A form of a page that sends no referrer has the Origin null (Fetch standard, 3.2). Then the browser's own
	// word decides, which no page can write.
	same := r.Header.Values("Sec-Fetch-Site")
	own := func(origin string) bool {
		if origin == "null" {
			return len(same) == 1 && same[0] == "same-origin"
		}
		u, err := url.Parse(origin)
		return err == nil && u.Host != "" && (u.Scheme == "http" && u.Host == r.Host || slices.Contains(d.hosts, u.Host))
	}
	foreign := func(origin string) bool { return !own(origin) }
	switch {
	case !d.admits(r.Host):
		fail(w, http.StatusForbidden, "AccessDeniedException", "this Host is not of this machine")
	// As in AWS, pages of others may call the API: its own replies say to a browser which of them (CORS).
	case !strings.HasPrefix(r.URL.Path, "/api/") && slices.ContainsFunc(r.Header.Values("Origin"), foreign):
		fail(w, http.StatusForbidden, "AccessDeniedException", "a web page of another Origin may not call this machine")
	default:
		d.next.ServeHTTP(w, r)
	}
}

func (d door) admits(hostport string) bool {
	if slices.Contains(d.hosts, hostport) {
		return true
	}
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	address, err := netip.ParseAddr(host)
	return err == nil && (d.open || address.IsLoopback()) || strings.EqualFold(host, "localhost") || slices.Contains(d.hosts, host)
}

// beyond reports whether a listener answers other machines.
func beyond(listener net.Listener) bool {
	address, err := netip.ParseAddrPort(listener.Addr().String())
	return err != nil || !address.Addr().Unmap().IsLoopback()
}

// Signed lets only requests with a signature of AWS reach next. It cannot check the signature, for
// which there is no key: it keeps web pages out, because a browser asks before it sends this header
// for a page of another origin, and nothing here agrees.
func Signed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		values := r.Header.Values("Authorization")
		if len(values) != 1 || !strings.HasPrefix(values[0], "AWS4-HMAC-SHA256 ") {
			w.Header().Set("Content-Type", "application/json")
			fail(w, http.StatusForbidden, "MissingAuthenticationTokenException", "Missing Authentication Token")
			return
		}
		next.ServeHTTP(w, r)
	})
}
