package gitlabapi

// A Served is the method and path of a route, the path as it is below the host
// and in the form of http.ServeMux.
type Served struct{ Method, Path string }

// EveryRoute lists the routes of all functions that ask for a credential, so
// that a test covers a new one without being told.
func EveryRoute() (all []Served) {
	for _, rt := range everyRoute() {
		if rt.open {
			continue
		}
		all = append(all, Served{rt.method, rt.fullPath()})
	}
	return all
}

// AuditText is the sentence of an event.
var AuditText = auditText

// Explained is what an operator is told of broken rules.
var Explained = explained

// GitLabSettings are the names of GitLab's settings.
var GitLabSettings = gitlabSettings
