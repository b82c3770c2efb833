package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"

	"latchkey/pkg/scope"
)

// help describes what readSettings reads.
const help = `Usage: build/local

Starts all of Latchkey on this machine, and ends on Ctrl-C. ` + "`make run`" + ` builds and starts it.
It is told by environment variables what to do:

  PORT               the port to listen on (8080); 0 takes a free one
  LISTEN             the address to listen on (127.0.0.1); another one, such as 0.0.0.0 in a container, needs HOSTS,
                     and lets everybody who reaches it become an administrator
  HOSTS              further names by which clients call, and hosts of web pages that may call, with commas between
                     them, such as latchkey:8080,localhost:3000
  SEED               1 adds two accounts, a group with a project, and a token of each
  LOG                json shows the functions' own log lines instead of a line a request
  SCOPES_FILE        your own rules file, as for the template's ScopesFile
  SAMPLE_BACKEND     an API of yours, such as http://127.0.0.1:9000, that answers behind the authorizer at
                     /sample/ instead of the sample; X-Latchkey- headers tell it about the caller
  DYNAMODB_ENDPOINT  DynamoDB Local or a region's endpoint, instead of a database in memory
  AWS_PROFILE, AWS_ACCESS_KEY_ID, ...
                     the credentials for that endpoint, if it is a region's

It writes into .local, under these names for port 8080 and with the number behind them for another:

  .local/env         URL and bearers for a shell; removed at the end
  .local/log         the JSON lines that the functions write in AWS, since the last start

With DYNAMODB_ENDPOINT also .local/pepper, the key for the bearers that are kept there.
`

// usualPort is the port whose files have no number in their names.
const usualPort = 8080

// options are what the environment asks for.
type options struct {
	port     int
	address  string   // to listen on
	hosts    []string // further names by which clients call
	seed     bool
	json     bool
	endpoint string
	// scopes is the operator's own catalog, and scopesFile its file; nil and "" without one.
	scopes     *scope.Catalog
	scopesFile string
	// backend replaces the sample API; nil for the sample API.
	backend *url.URL
}

// readSettings reports all faults at once.
func readSettings(env func(name string) string) (s options, err error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	s.port = usualPort
	if port := env("PORT"); port != "" {
		if s.port, err = strconv.Atoi(port); err != nil || s.port < 0 || s.port > 65535 {
			fault("PORT is %q, not a number from 0 to 65535", port)
		}
	}
	s.address = "127.0.0.1"
	if address := env("LISTEN"); address != "" {
		ip, err := netip.ParseAddr(address)
		if s.address = address; err != nil {
			fault("LISTEN is %q, not an address such as 127.0.0.1", address)
		} else if !ip.IsLoopback() && env("HOSTS") == "" {
			fault("LISTEN is %s, beyond this machine, and HOSTS does not say by which names clients call", address)
		}
	}
	if hosts := env("HOSTS"); hosts != "" {
		s.hosts = strings.Split(hosts, ",")
	}
	switch value := env("SEED"); value {
	case "", "0":
	case "1":
		s.seed = true
	default:
		fault("SEED is %q, not 0 or 1", value)
	}
	switch value := env("LOG"); value {
	case "":
	case "json":
		s.json = true
	default:
		fault("LOG is %q, not json or empty", value)
	}
	if s.scopesFile = env("SCOPES_FILE"); s.scopesFile != "" {
		if s.scopes, err = readScopes(s.scopesFile); err != nil {
			fault("SCOPES_FILE: %w", err)
		}
	}
	if s.endpoint = env("DYNAMODB_ENDPOINT"); s.endpoint != "" && address(s.endpoint) == nil {
		fault("DYNAMODB_ENDPOINT is not an address such as http://127.0.0.1:8000")
	}
	if backend := env("SAMPLE_BACKEND"); backend != "" {
		if s.backend = address(backend); s.backend == nil {
			fault("SAMPLE_BACKEND is not an address such as http://127.0.0.1:9000")
		}
	}
	return s, errors.Join(faults...)
}

// address parses an http or https address without a password; it returns nil for anything else.
func address(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil
	}
	return u
}

// readScopes joins an operator's catalog with GitLab's, as the functions do.
func readScopes(path string) (*scope.Catalog, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	own, err := scope.Load(file)
	if err != nil {
		return nil, err
	}
	return scope.GitLab().With(own), nil
}
