// Command smoke proves a deployment from outside, with an administrator's bearer: it issues a token, uses
// it, rotates it, revokes it, and looks that each is refused from then on. It reads URL (the address of the
// API without /api/v4) and TOKEN (the bearer) from the environment, because others on the machine can read
// arguments. It prints a line for each step and exits with 1 when a step fails. Whatever happens, no token
// of its own works when it ends; their records stay in the lists until clean-up.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	url, bearer := strings.TrimSuffix(os.Getenv("URL"), "/"), os.Getenv("TOKEN")
	if url == "" || bearer == "" {
		fmt.Fprintln(os.Stderr, "smoke: set URL, such as https://tokens.example.com, and TOKEN, an administrator's bearer")
		os.Exit(2)
	}
	tomorrow := time.Now().UTC().AddDate(0, 0, 1).Format(time.DateOnly)
	if err := smoke(ctx, os.Stdout, url, bearer, tomorrow); err != nil {
		fmt.Println("FAILED:", err)
		os.Exit(1) //nolint:gocritic // stop only restores a signal
	}
	fmt.Println("The deployment works.")
}

// A target is a deployment and the bearer of an administrator.
type target struct {
	url, bearer string
	out         io.Writer
	client      *http.Client
}

// A made is a token as issuing and rotating answer with it.
type made struct {
	ID    int64
	Token string
}

// smoke makes all steps. Should it be killed, its token ends on the day lastDay.
func smoke(ctx context.Context, out io.Writer, url, bearer, lastDay string) (err error) {
	const patience = time.Minute // for a cold start, and for a connection that hangs
	t := &target{url: url, bearer: bearer, out: out, client: &http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a bearer goes to no other address
	}}
	var version struct{ Version string }
	var admin struct{ ID int64 }
	if err := t.step(ctx, "the API takes TOKEN", bearer, http.MethodGet, "/version", "", http.StatusOK, &version); err != nil {
		return err
	}
	if version.Version == "" {
		return errors.New("the API takes TOKEN: no version; is the address right?")
	}
	if err := t.step(ctx, "nobody is refused", "", http.MethodGet, "/user", "", http.StatusUnauthorized, nil); err != nil {
		return err
	}
	if err := t.step(ctx, "the administrator is known", bearer, http.MethodGet, "/user", "", http.StatusOK, &admin); err != nil {
		return err
	}
	spec := fmt.Sprintf(`{"name":"smoke test","description":"may be revoked","scopes":["read_user","self_rotate"],"expires_at":%q}`, lastDay)
	var first, second made
	if err := t.step(ctx, "a token is issued", bearer, http.MethodPost, fmt.Sprintf("/users/%d/personal_access_tokens", admin.ID), spec, http.StatusCreated, &first); err != nil {
		return err
	}
	ended := false
	defer func() {
		if !ended {
			err = errors.Join(err, t.clean(context.WithoutCancel(ctx), first.ID))
		}
	}()
	const self = "/personal_access_tokens/self"
	for _, s := range []struct {
		what, bearer, method, path string
		want                       int
		into                       any
	}{
		{"it opens what its scopes open", first.Token, http.MethodGet, "/user", http.StatusOK, nil},
		{"it opens nothing else", first.Token, http.MethodGet, "/personal_access_tokens", http.StatusForbidden, nil},
		{"it is rotated", first.Token, http.MethodPost, self + "/rotate", http.StatusOK, &second},
		{"the old bearer is refused", first.Token, http.MethodGet, "/user", http.StatusUnauthorized, nil},
	} {
		if err := t.step(ctx, s.what, s.bearer, s.method, s.path, "", s.want, s.into); err != nil {
			return err
		}
	}
	if err := t.step(ctx, "the new bearer works", second.Token, http.MethodGet, "/user", "", http.StatusOK, nil); err != nil {
		return err
	}
	if err := t.step(ctx, "it is revoked", bearer, http.MethodDelete, fmt.Sprintf("/personal_access_tokens/%d", second.ID), "", http.StatusNoContent, nil); err != nil {
		return err
	}
	if err := t.step(ctx, "the revoked bearer is refused", second.Token, http.MethodGet, "/user", "", http.StatusUnauthorized, nil); err != nil {
		return err
	}
	ended = true
	return nil
}

// step makes one request, prints how it went, and decodes the reply into v, which may be nil.
func (t *target) step(ctx context.Context, what, bearer, method, path, body string, want int, v any) error {
	status, reply, err := t.request(ctx, bearer, method, path, body)
	if err == nil && status != want {
		err = fmt.Errorf("%s %s answers %d and not %d: %s", method, path, status, want, shown(status, reply))
	}
	if err == nil && v != nil {
		if json.Unmarshal(reply, v) != nil {
			err = fmt.Errorf("%s %s answers what is not Latchkey's", method, path)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	_, _ = fmt.Fprintf(t.out, "ok  %s\n", what)
	return nil
}

// clean revokes what a failed run has left, successors of a rotation included, and says so if it cannot.
func (t *target) clean(ctx context.Context, id int64) error {
	status, reply, err := t.request(ctx, t.bearer, http.MethodDelete, fmt.Sprintf("/personal_access_tokens/%d?family=true", id), "")
	if err == nil && status != http.StatusNoContent {
		err = fmt.Errorf("%d: %s", status, shown(status, reply))
	}
	if err != nil {
		return fmt.Errorf("the token %d could not be revoked (%w): revoke it by hand, it expires soon", id, err)
	}
	_, _ = fmt.Fprintln(t.out, "the token of this run is revoked")
	return nil
}

// shown returns the reply to a refused request for people. Others may hold a bearer or a mail address.
func shown(status int, reply []byte) string {
	const longest = 300
	if status < http.StatusBadRequest || bytes.Contains(reply, []byte(`"token"`)) {
		return "a reply that is not shown"
	}
	return string(bytes.TrimSpace(reply[:min(len(reply), longest)]))
}

func (t *target) request(ctx context.Context, bearer, method, path, body string) (status int, reply []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, method, t.url+"/api/v4"+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if bearer != "" {
		r.Header.Set("PRIVATE-TOKEN", bearer)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := t.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = response.Body.Close() }()
	const longest = 1 << 20
	reply, err = io.ReadAll(io.LimitReader(response.Body, longest))
	return response.StatusCode, reply, err
}
