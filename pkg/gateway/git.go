package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"latchkey/pkg/exactjson"
	"latchkey/pkg/fault"
	"latchkey/pkg/principal"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
	"latchkey/pkg/token"
)

// A gitKind is Git over HTTP, with its extension for large files (LFS). Repositories lie at the full paths
// of projects, with or without .git. Texts and statuses are GitLab's.
type gitKind struct {
	projects principal.Projects
	scopes   *scope.Catalog
	// rules are the operator's about the two services of Git.
	rules *scope.Catalog
	// tokenPage is where people make tokens, or "".
	tokenPage string
}

// A gitRight is what a request needs in its repository.
type gitRight struct {
	level  project.Level
	scopes scope.Set
	// service is the one of Git that the right is about; rules name it.
	service string
	verb    string // in GitLab's texts
	object  string
}

func newGitKind(parts Parts) gitKind {
	rules := &scope.Catalog{Scopes: parts.Scopes.Scopes}
	for _, rule := range parts.Scopes.Rules {
		// Any other rule is for another server: `*` for an API must not open repositories.
		if strings.HasSuffix(rule.Path, "/"+uploads) || strings.HasSuffix(rule.Path, "/"+receives) {
			rules.Rules = append(rules.Rules, rule)
		}
	}
	return gitKind{parts.Projects, parts.Scopes, rules, parts.TokenPage}
}

// opens reports whether set has a scope for a right in a repository: one of GitLab's, or one that a rule
// of the operator names for a POST to the service.
func (k gitKind) opens(set scope.Set, right gitRight, repository string) bool {
	return slices.ContainsFunc(right.scopes, set.Has) ||
		k.rules.Require(http.MethodPost, "/"+repository+gitSuffix+"/"+right.service).Met(set) == nil
}

// The scopes are GitLab's too: read_api pulls code (behaviour of 14.1).
var (
	pulls  = gitRight{project.Reporter, scope.Set{scope.API, scope.ReadAPI, "read_repository", "write_repository"}, uploads, "download", "code from"}
	pushes = gitRight{project.Developer, scope.Set{scope.API, "write_repository"}, receives, "upload", "code to"}
)

// A gitRequest is a request to a repository.
type gitRequest struct {
	repository string // full path of the project
	right      gitRight
	lfs        bool
	mayPull    bool // the caller, as far as that is known
}

// errNoGit means that a request is none of Git's, or in a spelling that a server might read otherwise.
var errNoGit = fmt.Errorf("%w: not a request of Git", fault.ErrNotFound)

func (gitKind) Scheme() string { return "Basic" }

func (k gitKind) Judge(ctx context.Context, q Question) error {
	request, err := k.parse(q)
	if err != nil {
		return err
	}
	access, err := principal.FindAccess(ctx, k.projects, q.By, project.KindProject, request.repository, q.Now)
	switch {
	case err != nil && fault.KindOf(err) != fault.NotFound:
		return err
	case err == nil && !samePath(access.Project, request.repository):
		err = project.ErrNoProject // another name to a server that tells cases apart
	}
	request.mayPull = err == nil && access.AtLeast(pulls.level) && k.opens(q.By.Scopes, pulls, request.repository)
	// As in GitLab, a bot that does not see the project has no good credential there, and a scope is missed
	// before a project is.
	if err != nil && q.By.Token.Kind.OfProject() {
		return request.refuse(http.StatusUnauthorized, "not_found", k.denied(), errors.Join(token.ErrInvalid, err))
	}
	if !k.opens(q.By.Scopes, request.right, request.repository) {
		return request.refuse(http.StatusForbidden, "insufficient_scope", "You are not allowed to "+request.right.verb+" code.",
			&Insufficient{Required: request.right.scopes})
	}
	if err != nil {
		return request.refuse(http.StatusNotFound, "not_found",
			"The project you were looking for could not be found or you don't have permission to view it.", err)
	}
	if !access.AtLeast(request.right.level) {
		return request.refuse(http.StatusForbidden, "forbidden",
			"You are not allowed to "+request.right.verb+" "+request.right.object+" this project.", fault.ErrForbidden)
	}
	return nil
}

// refuse returns a refusal in the words of Git, or of LFS, which hides what cannot be read.
func (r gitRequest) refuse(status int, reason, message string, err error) error {
	if r.lfs && status != http.StatusUnauthorized {
		status, message = http.StatusNotFound, "Not found."
		if r.mayPull {
			status, message = http.StatusForbidden, "Access forbidden. Check your access level."
		}
	}
	return &Refusal{Status: status, Reason: reason, Message: message, Err: err}
}

// samePath reports whether path is the project's own, in the same case. The first part of a path in an
// account's namespace is a username, which the project does not know.
func samePath(proj project.Project, path string) bool {
	if proj.FullPath != "" {
		return proj.FullPath == path
	}
	return strings.HasSuffix(path, "/"+proj.Path)
}

const (
	lfsFront  = "/info/lfs"
	lfsType   = "application/vnd.git-lfs+json"
	uploads   = "git-upload-pack"  // serves those who pull
	receives  = "git-receive-pack" // serves those who push
	gitSuffix = ".git"
)

// parse returns what a request asks of which repository.
func (k gitKind) parse(q Question) (gitRequest, error) {
	if err := (&scope.Catalog{}).CheckPath(q.Path); err != nil {
		return gitRequest{}, err
	}
	request, rest := gitRequest{}, ""
	for _, service := range []string{"/info/refs", "/" + uploads, "/" + receives} {
		if front, found := strings.CutSuffix(q.Path, service); found {
			request.repository, rest = front, service
		}
	}
	if at := strings.LastIndex(q.Path, lfsFront+"/"); rest == "" && at >= 0 {
		request.repository, rest, request.lfs = q.Path[:at], q.Path[at+len(lfsFront):], true
	}
	var known bool
	if request.repository, known = repositoryOf(request.repository); !known {
		return gitRequest{}, errNoGit
	}
	right, err := k.right(q, request, rest)
	request.right = right
	return request, err
}

// repositoryOf returns the full path of the project whose repository lies at path.
func repositoryOf(path string) (string, bool) {
	full, slash := strings.CutPrefix(strings.TrimSuffix(path, gitSuffix), "/")
	parts := strings.Split(full, "/")
	for _, part := range parts {
		odd := strings.ContainsFunc(part, func(c rune) bool {
			return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("_-.", c))
		})
		// A part before the last that ends in .git would be a repository with something in it.
		if odd || part == "" || strings.HasSuffix(strings.ToLower(part), gitSuffix) {
			return "", false
		}
	}
	return full, slash && len(parts) > 1
}

// right returns what a request needs. Only the requests of Git's smart protocol and of LFS have one: the
// files of the old protocol would bypass the service's own rules.
func (k gitKind) right(q Question, request gitRequest, rest string) (gitRight, error) {
	if request.lfs {
		if q.Query != "" && rest != "/locks" {
			return gitRight{}, errNoGit
		}
		return k.lfsRight(q, rest)
	}
	switch {
	case rest == "/info/refs" && q.Method == http.MethodGet && q.Query == "service="+uploads, rest == "/"+uploads && q.Method == http.MethodPost && q.Query == "":
		return pulls, nil
	case rest == "/info/refs" && q.Method == http.MethodGet && q.Query == "service="+receives, rest == "/"+receives && q.Method == http.MethodPost && q.Query == "":
		return pushes, nil
	case rest == "/info/refs" && q.Method == http.MethodHead:
		return gitRight{}, fault.ErrForbidden
	}
	return gitRight{}, errNoGit
}

// lfsRight returns what a request of LFS needs (Git LFS API: batch, locking, basic transfers). Other ways
// to the objects are for the LFS server's own credentials, which it hands out in the batch.
func (k gitKind) lfsRight(q Question, rest string) (gitRight, error) {
	reading := q.Method == http.MethodGet || q.Method == http.MethodHead
	object, isObject := strings.CutPrefix(rest, "/objects/")
	switch {
	case rest == "/objects/batch" && q.Method == http.MethodPost:
		return k.batchRight(q)
	case rest == "/locks" && reading:
		return pulls, nil
	case q.Method == http.MethodPost && (rest == "/locks" || rest == "/locks/verify" || rest == "/verify" || rest == "/objects/verify" || isUnlock(rest)):
		return pushes, nil
	case isObject && isOID(object) && reading:
		return pulls, nil
	case isObject && isOID(object) && q.Method == http.MethodPut:
		return pushes, nil
	}
	return gitRight{}, errNoGit
}

func isUnlock(rest string) bool {
	parts := strings.Split(rest, "/") // "", locks, id, unlock
	return len(parts) == 4 && parts[1] == "locks" && parts[3] == "unlock"
}

// isOID reports whether s is the id of an object: a SHA-256 in lower-case hexadecimal.
func isOID(s string) bool {
	const length = 64
	return len(s) == length && strings.Trim(s, "0123456789abcdef") == ""
}

// batchRight returns what a batch needs, by its operation. One that cannot be seen may be an upload.
func (k gitKind) batchRight(q Question) (gitRight, error) {
	if len(q.Body) == 0 || len(q.Header.Values("Content-Encoding")) > 0 {
		if k.scopes.LeavesToBackend(q.Path) {
			return pulls, nil
		}
		return pushes, nil
	}
	members, err := exactjson.Members(q.Body)
	var operation string
	if err != nil || json.Unmarshal(members["operation"], &operation) != nil {
		return gitRight{}, fault.ErrInput
	}
	switch operation {
	case "download":
		return pulls, nil
	case "upload":
		return pushes, nil
	}
	return gitRight{}, fault.ErrInput
}

// Body returns a refusal as Git shows it to people, or in the JSON of LFS.
func (k gitKind) Body(q Question, refusal Refusal) (mediaType, text string) {
	message := refusal.Message
	if refusal.Status == http.StatusUnauthorized {
		message = k.denied()
	}
	if strings.Contains(q.Path, lfsFront+"/") {
		return lfsType, encode(map[string]string{"message": message})
	}
	return "text/plain; charset=utf-8", message
}

// denied is GitLab's text for a request without a good token.
func (k gitKind) denied() string {
	text := "HTTP Basic: Access denied\n" +
		"You must use a personal access token with 'read_repository' or 'write_repository' scope for Git over HTTP."
	if k.tokenPage != "" {
		text += "\nYou can generate one at " + k.tokenPage
	}
	return text
}
