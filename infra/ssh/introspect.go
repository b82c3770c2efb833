package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

const (
	// minBearer and maxBearer are the lengths of the bearers that Latchkey knows.
	minBearer, maxBearer = 20, 255
	// maxReply is the size of the largest reply, in bytes. A token with every scope needs about 500.
	maxReply = 64 << 10
)

// decoy is what sshd gives to PAM instead of the password of a user who does not exist or may not log in,
// repeated or cut to the password's length (OpenSSH, auth-pam.c, fake_password).
const decoy = "\b\n\r\177INCORRECT"

func isDecoy(password []byte) bool {
	for i, c := range password {
		if c != decoy[i%len(decoy)] {
			return false
		}
	}
	return true
}

// readPassword reads what pam_exec writes: the password and a NUL. What cannot be a bearer is refused here,
// without a request.
func readPassword(ctx context.Context, input io.Reader) (string, error) {
	type read struct {
		text []byte
		err  error
	}
	done := make(chan read, 1) // the reader of a pipe that nobody closes ends with the process
	go func() {
		text, err := untilNUL(input)
		done <- read{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", fmt.Errorf("%w: no password within the time limit", errUndecided)
	case got := <-done:
		switch {
		case got.err != nil:
			return "", fmt.Errorf("%w: the password could not be read", errUndecided)
		case isDecoy(got.text):
			return "", errDecoy
		case !isBearer(got.text):
			return "", fmt.Errorf("%w: the password has not the form of a token", errRefused)
		}
		return string(got.text), nil
	}
}

func untilNUL(input io.Reader) ([]byte, error) {
	text := make([]byte, 0, maxBearer+1)
	for len(text) <= maxBearer {
		n, err := input.Read(text[len(text) : len(text)+1])
		if n == 1 && text[:len(text)+1][len(text)] == 0 {
			return text, nil
		}
		text = text[:len(text)+n]
		switch {
		case errors.Is(err, io.EOF):
			return text, nil
		case err != nil:
			return nil, err
		}
	}
	return text, nil // too long for a bearer
}

func isBearer(text []byte) bool {
	for _, c := range text {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return len(text) >= minBearer && len(text) <= maxBearer
}

// A token is what introspection says about one that is active.
type token struct {
	Active   bool   `json:"active"`
	Scope    string `json:"scope"`
	Username string `json:"username"`
	// Exp is when it expires, in seconds since 1970; 0 is never.
	Exp int64 `json:"exp"`
}

func (t token) scopes() []string { return strings.Fields(t.Scope) }

// introspect asks Latchkey about a bearer that came from address. It returns errRefused for one that is not active now, and
// errUndecided if there is no proper answer.
func introspect(ctx context.Context, cfg config, bearer, address string) (token, error) {
	own, err := readOwn(cfg.TokenFile, maxBearer+1, 0o077)
	if err != nil {
		return token{}, fmt.Errorf("%w: %w", errConfig, err)
	}
	own = bytes.TrimSuffix(own, []byte("\n"))
	if !isBearer(own) {
		return token{}, fmt.Errorf("%w: %s does not hold a token", errConfig, cfg.TokenFile)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, cfg.URL+"/oauth/introspect",
		strings.NewReader(url.Values{"token": {bearer}, "client_address": {address}}.Encode()))
	if err != nil {
		return token{}, fmt.Errorf("%w: no request to this url", errConfig)
	}
	request.Header.Set("Authorization", "Bearer "+string(own))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	client := http.Client{
		// No proxy from the environment, which is not the operator's here.
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	reply, err := client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return token{}, fmt.Errorf("%w: no answer from introspection within the time limit", errUndecided)
		}
		return token{}, fmt.Errorf("%w: introspection cannot be reached", errUndecided) // the error may quote the URL only, but need not
	}
	defer func() { _ = reply.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(reply.Body, maxReply+1))
	switch {
	case ctx.Err() != nil:
		return token{}, fmt.Errorf("%w: no answer from introspection within the time limit", errUndecided)
	case reply.StatusCode == http.StatusUnauthorized, reply.StatusCode == http.StatusForbidden:
		return token{}, fmt.Errorf("%w: introspection answered %d: the token in %s is not good or lacks the scope introspect", errUndecided, reply.StatusCode, cfg.TokenFile)
	case reply.StatusCode != http.StatusOK:
		return token{}, fmt.Errorf("%w: introspection answered %d", errUndecided, reply.StatusCode)
	case err != nil || len(body) > maxReply:
		return token{}, fmt.Errorf("%w: the answer of introspection is cut or too long", errUndecided)
	}
	var told token
	switch err := json.Unmarshal(body, &told); {
	case err != nil:
		return token{}, fmt.Errorf("%w: the answer of introspection is not that of RFC 7662", errUndecided)
	case !told.Active:
		return token{}, fmt.Errorf("%w: not an active token", errRefused)
	case told.Exp != 0 && told.Exp <= now().Unix():
		return token{}, fmt.Errorf("%w: the token has expired", errRefused)
	}
	return told, nil
}
