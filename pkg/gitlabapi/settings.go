package gitlabapi

import (
	"net/http"
	"runtime/debug"

	"latchkey/pkg/administration"
	"latchkey/pkg/apigateway/proxy"
	"latchkey/pkg/directory"
	"latchkey/pkg/fault"
	"latchkey/pkg/trail"
)

// Version is the GitLab release whose token API Latchkey speaks. Clients derive the available
// fields from it.
const Version = "18.4.0"

// release is Latchkey's own version. `make release` sets it with the linker, because what the go command knows
// of the commit depends on the checkout, and packages must not.
var release = "unreleased"

type settingsAPI struct {
	*API
	features       *administration.Features
	administration *administration.Administration
	trail          *trail.Trail
	finder         *directory.Finder
	graph          Graph
}

// Settings returns the routes of the settings, the features, the audit events and the version. It
// answers GraphQL queries about the caller, and every path that no other function serves.
func Settings(api *API, features *administration.Features, administration *administration.Administration, trail *trail.Trail,
	finder *directory.Finder, graph Graph) proxy.Handler {
	return api.serve((&settingsAPI{api, features, administration, trail, finder, graph}).routes())
}

func (api *settingsAPI) routes() []route {
	return append([]route{
		{method: "GET", path: "/version", handle: api.metadata},
		{method: "GET", path: "/metadata", handle: api.metadata},
		{method: "GET", path: "/features", handle: api.listFeatures, adminOnly: true},
		{method: "GET", path: "/features/definitions", handle: api.listDefinitions, adminOnly: true},
		{method: "POST", path: "/features/{name}", handle: api.setFeature, adminOnly: true, words: []row{{err: fault.ErrInput, say: noTarget}}},
		{method: "DELETE", path: "/features/{name}", handle: api.clearFeature, adminOnly: true},
		{method: "GET", path: "/application/settings", handle: api.applicationSettings, adminOnly: true},
		{method: "GET", path: "/application/settings/preview", handle: api.previewLifetime, adminOnly: true},
		{method: "PUT", path: "/application/settings", handle: api.updateApplicationSettings, adminOnly: true},
	}, append(api.auditRoutes(), api.graphqlRoutes()...)...)
}

type versionJSON struct {
	Version  string `json:"version"`
	Revision string `json:"revision"`
	// Latchkey is the release of Latchkey itself. GitLab's clients parse Version as GitLab's, and pass over
	// fields that they do not know.
	Latchkey string `json:"latchkey_version"`
}

type metadataJSON struct {
	versionJSON
	Enterprise bool    `json:"enterprise"`
	KAS        kasJSON `json:"kas"`
}

// kasJSON says that there is no agent server, in the form that clients parse.
type kasJSON struct {
	Enabled             bool    `json:"enabled"`
	ExternalURL         *string `json:"externalUrl"`
	ExternalK8sProxyURL *string `json:"externalK8sProxyUrl"`
	Version             *string `json:"version"`
}

func (api *settingsAPI) metadata(c *call) error {
	return c.json(http.StatusOK, metadataJSON{versionJSON: build()})
}

// build returns the commit of the binary, if known.
func build() versionJSON {
	const shortRevision = 11
	revision := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" && len(setting.Value) >= shortRevision {
				revision = setting.Value[:shortRevision]
			}
		}
	}
	return versionJSON{Version: Version, Revision: revision, Latchkey: release}
}
