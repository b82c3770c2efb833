// Command explain says what the rules make of a request with these scopes, and why. `make explain` runs it.
// It reads the variables TOKEN_SCOPES (with commas or spaces), METHOD, URL_PATH, and optionally SCOPES_FILE
// (the operator's rules file; GitLab's rules without it), PROJECT_ID or GROUP_ID (for a token of one).
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"latchkey/pkg/explain"
	"latchkey/pkg/scope"
)

func main() {
	if err := run(os.Getenv, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "explain: %v\n", err)
		os.Exit(1)
	}
}

func run(env func(string) string, out io.Writer) error {
	catalog, err := scope.GitLab(), error(nil)
	if path := env("SCOPES_FILE"); path != "" {
		if catalog, err = own(catalog, path); err != nil {
			return fmt.Errorf("SCOPES_FILE: %w", err)
		}
	}
	set, err := catalog.Parse(strings.FieldsFunc(env("TOKEN_SCOPES"), func(r rune) bool { return r == ',' || r == ' ' }))
	if err != nil {
		return fmt.Errorf("TOKEN_SCOPES: %w", err)
	}
	if env("METHOD") == "" || env("URL_PATH") == "" {
		return errors.New("usage: make explain TOKEN_SCOPES=read_api METHOD=GET URL_PATH=/api/v4/projects")
	}
	reach, err := reachOf(env)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(explain.Request(catalog, set, reach, env("METHOD"), env("URL_PATH")))
}

func own(catalog *scope.Catalog, path string) (*scope.Catalog, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rules, err := scope.Load(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return catalog.With(rules), nil
}

func reachOf(env func(string) string) (scope.Reach, error) {
	reach, asked := scope.Everywhere(), ""
	for _, of := range []struct {
		name string
		in   func(int64) scope.Reach
	}{{"PROJECT_ID", scope.InProject}, {"GROUP_ID", scope.InGroup}} {
		text := env(of.name)
		if text == "" {
			continue
		}
		if asked != "" {
			return scope.Reach{}, fmt.Errorf("%s and %s exclude each other: a token belongs to one of them", asked, of.name)
		}
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil || id < 1 {
			return scope.Reach{}, fmt.Errorf("%s is %q, not an id", of.name, text)
		}
		reach, asked = of.in(id), of.name
	}
	return reach, nil
}
