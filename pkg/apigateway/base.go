package apigateway

import "strings"

// ownPaths are the paths below which Latchkey serves requests, from the root of the API.
var ownPaths = []string{"/api/v4/", "/api/graphql/", "/-/", "/auth/", "/oauth/", "/jwt/"}

// CutBase splits the path of a request to Latchkey into the base path of a custom domain's mapping,
// or the stage, and the path from the root of the API. An event does not name its mapping: the base
// is what stands in front of whichever of Latchkey's own paths begins earliest. So
// /auth/envoy/api/v4/user has none. The path is encoded, without repeated slashes.
func CutBase(path string) (base, rest string) {
	at := len(path)
	for _, own := range ownPaths {
		if i := strings.Index(path+"/", own); i >= 0 && i < at {
			at = i
		}
	}
	if at == len(path) {
		return "", path
	}
	return path[:at], path[at:]
}
