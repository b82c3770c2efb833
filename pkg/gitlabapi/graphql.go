package gitlabapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"latchkey/pkg/directory"
	"latchkey/pkg/listing"
	"latchkey/pkg/project"
	"latchkey/pkg/scope"
)

// graphqlPath is below no version. Clients that look themselves up ask there for currentUser.
const graphqlPath = "/api/graphql"

// A Graph reads GraphQL requests. Only the function that serves them links a parser.
type Graph interface {
	// Reads returns nil if every operation of a request is a query.
	Reads(method, query string, header http.Header, body []byte) error
	// Answer returns the data that a document selects of the fields of a query. If the document is
	// wrong, or asks for what is not there, problem says so in words for the client.
	Answer(ctx context.Context, document, operation string, query GraphFields) (data map[string]any, problem string, err error)
}

// GraphFields are values by name, with the type under __typename: a JSON value, other GraphFields, or a
// function that finds the value.
type GraphFields map[string]any

func (api *settingsAPI) graphqlRoutes() []route {
	return []route{
		{method: "GET", path: graphqlPath, handle: api.graphql, reads: api.onlyReads},
		{method: "POST", path: graphqlPath, handle: api.graphql, reads: api.onlyReads},
	}
}

func (api *settingsAPI) onlyReads(c *call) error {
	return api.graph.Reads(c.r.Method, c.r.URL.RawQuery, c.r.Header, c.body)
}

// opens reports whether the caller's token opens a GraphQL endpoint: by the same rule as one behind a
// proxy, a token that may only read passes with a request in which there are only queries.
func (c *call) opens(scopes scope.Set, reach scope.Reach) bool {
	catalog := scope.GitLab()
	return catalog.Allows(scopes, reach, c.r.Method, graphqlPath) ||
		catalog.OpensReading(scopes, reach, graphqlPath) && c.route.reads(c) == nil
}

// graphql answers queries about the caller.
func (api *settingsAPI) graphql(c *call) error {
	document, operation := c.required("query"), c.text("operationName")
	if err := c.fault(); err != nil {
		return err
	}
	data, problem, err := api.graph.Answer(c.ctx, document, operation, GraphFields{"__typename": "Query", "currentUser": api.currentUser(c)})
	switch {
	case err != nil:
		return err
	case problem != "":
		return c.json(http.StatusOK, graphqlErrors(problem))
	default:
		return c.json(http.StatusOK, map[string]any{"data": data})
	}
}

func graphqlErrors(text string) map[string]any {
	return map[string]any{"errors": []any{map[string]string{"message": text}}}
}

// currentUser is the caller, under GitLab's names for fields of users.
func (api *settingsAPI) currentUser(c *call) GraphFields {
	u := c.by.Account
	namespace := namespaceJSON{}
	if !u.Bot {
		namespace = c.namespaceWire(directory.View{Owner: u})
	}
	user := GraphFields{
		"__typename": "User", "id": globalID("User", int64(u.ID)), "username": u.Username, "name": u.Name,
		"state": string(u.State), "active": true, "bot": u.Bot, "human": !u.Bot, "publicEmail": nil, "commitEmail": u.Email, "avatarUrl": nil,
		"webUrl": string(c.site) + "/" + u.Username, "webPath": "/" + u.Username, "createdAt": timestamp(u.CreatedAt),
		"namespace":  nil,
		"groupCount": func(ctx context.Context) (any, error) { return api.countGroups(ctx, c) },
	}
	if !u.Bot {
		user["namespace"] = GraphFields{
			"__typename": "Namespace", "id": globalID("Namespaces::UserNamespace", namespace.ID), "name": namespace.Name, "path": namespace.Path,
			"fullName": namespace.Name, "fullPath": namespace.FullPath, "visibility": "public",
		}
	}
	return user
}

// globalID is GitLab's id of an object in GraphQL.
func globalID(kind string, id int64) string {
	return "gid://gitlab/" + kind + "/" + strconv.FormatInt(id, 10)
}

// countGroups returns how many groups the caller reaches.
func (api *settingsAPI) countGroups(ctx context.Context, c *call) (int, error) {
	groups, err := api.finder.ListProjects(ctx, c.by, directory.ProjectFilter{Kind: project.KindGroup, Mine: true}, directory.ProjectSort{}, listing.Want{})
	return groups.Total, err
}

// inGraphQL returns a refusal with what clients of GraphQL read in addition.
func inGraphQL(said *reply) *reply {
	var body map[string]any
	_ = json.Unmarshal(said.body, &body) // it has been encoded here
	for _, name := range []string{"error_description", "error", "message"} {
		if text, some := body[name].(string); some {
			body["errors"] = []any{map[string]string{"message": text}}
			break
		}
	}
	return &reply{said.status, encode(body), said.challenge}
}
