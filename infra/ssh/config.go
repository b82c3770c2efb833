package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"latchkey/pkg/exactjson"
)

// A config is what the configuration file says.
type config struct {
	// URL is Latchkey's base URL. It is https, except on a loopback address.
	URL string `json:"url"`
	// TokenFile holds the bearer of a token with the scope introspect. Nobody but its owner may read it.
	TokenFile string `json:"token_file"`
	// Sessions is the directory for session files. It belongs to root and lies on a tmpfs.
	Sessions string `json:"sessions"`
	// Accounts maps accounts of this machine to usernames of Latchkey that may log in as them. An account
	// that is not listed is for the owner of the same name.
	Accounts map[string][]string `json:"accounts"`
	// TimeLimitSeconds is how long a stage may take, 1 to 60. It lies below LoginGraceTime.
	TimeLimitSeconds int `json:"time_limit_seconds"`
	// SessionSeconds is how long after its authentication a connection may start a command, 1 to 3600.
	SessionSeconds int `json:"session_seconds"`
	// PullScopes and PushScopes open Git to a token, any one of them. What pushes also pulls.
	PullScopes []string `json:"pull_scopes"`
	PushScopes []string `json:"push_scopes"`
}

const (
	maxConfig = 1 << 20
	maxLimit  = 60
	// firstPerson is the first id of an account that is not the system's (Debian Policy, 9.2.2). Latchkey has
	// owners with names such as root and backup.
	firstPerson = 1000
)

func (c config) limit() time.Duration   { return time.Duration(c.TimeLimitSeconds) * time.Second }
func (c config) session() time.Duration { return time.Duration(c.SessionSeconds) * time.Second }

// readConfig reads the file, which nobody but root or the caller may have written.
func readConfig(path string) (config, error) {
	text, err := readOwn(path, maxConfig, 0o022)
	if err != nil {
		return config{}, err
	}
	c := config{
		Sessions: "/run/latchkey-ssh", TimeLimitSeconds: 8, SessionSeconds: 60,
		// GitLab's rules for Git over HTTP.
		PullScopes: []string{"read_repository", "read_api"}, PushScopes: []string{"write_repository", "api"},
	}
	places, err := exactjson.Decode(text, &c)
	if err != nil {
		return config{}, fmt.Errorf("%s: %w", path, err)
	}
	if !safeURL(c.URL) {
		places.Fault("url", "url is not the https address of Latchkey, without user, query and fragment; http is for loopback addresses")
	}
	if !strings.HasPrefix(c.TokenFile, "/") {
		places.Fault("token_file", "token_file is not an absolute path")
	}
	if !strings.HasPrefix(c.Sessions, "/") {
		places.Fault("sessions", "sessions is not an absolute path")
	}
	if c.TimeLimitSeconds < 1 || c.TimeLimitSeconds > maxLimit {
		places.Fault("time_limit_seconds", "time_limit_seconds is outside 1 to %d", maxLimit)
	}
	if c.SessionSeconds < 1 || c.SessionSeconds > 3600 {
		places.Fault("session_seconds", "session_seconds is outside 1 to 3600")
	}
	if err := places.Err(); err != nil {
		return config{}, fmt.Errorf("%s: %w", path, err)
	}
	c.URL = strings.TrimSuffix(c.URL, "/")
	return c, nil
}

func safeURL(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") {
		return false
	}
	address, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && err == nil && address.IsLoopback()
}

// owns reports whether the owner called username may log in as account.
func (c config) owns(username, account string) bool {
	if username == "" {
		return false
	}
	if owners, mapped := c.Accounts[account]; mapped {
		return slices.Contains(owners, username)
	}
	if username != account {
		return false
	}
	known, err := user.Lookup(account)
	if err != nil {
		return false
	}
	id, err := strconv.Atoi(known.Uid)
	return err == nil && id >= firstPerson
}

func (c config) pulls(scopes []string) bool { return has(scopes, c.PullScopes) || c.pushes(scopes) }

func (c config) pushes(scopes []string) bool { return has(scopes, c.PushScopes) }

func has(scopes, sufficient []string) bool {
	return slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(sufficient, s) })
}

// readOwn reads a regular file of root or of the caller, of at most limit bytes, that has none of the
// permissions in forbidden.
func readOwn(path string, limit int64, forbidden os.FileMode) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	system, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file", path)
	case !ok || system.Uid != 0 && int(system.Uid) != os.Getuid():
		return nil, fmt.Errorf("%s: belongs neither to root nor to the caller", path)
	case info.Mode().Perm()&forbidden != 0:
		return nil, fmt.Errorf("%s: has the permissions %04o; remove %04o", path, info.Mode().Perm(), info.Mode().Perm()&forbidden)
	}
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = errors.New("too long")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}
