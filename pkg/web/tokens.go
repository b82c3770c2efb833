package web

import "net/http"

// tokensPath is the list of one's own tokens, and the start of every page about them. It is GitLab's.
const tokensPath = "/-/user_settings/personal_access_tokens"

func (s *Site) tokenRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/-/{$}", handle: home},
		{method: http.MethodGet, path: tokensPath, handle: s.list},
		{method: http.MethodGet, path: "/-/profile/personal_access_tokens", open: true, handle: oldAddress},
	}
}

func home(v *visit) error { return v.redirect(tokensPath) }

// oldAddress redirects from the address that GitLab used to have. Links with prefilled values still
// use it.
func oldAddress(v *visit) error {
	to := tokensPath
	if v.r.URL.RawQuery != "" {
		to += "?" + v.r.URL.RawQuery
	}
	return v.redirect(to)
}

func (s *Site) list(v *visit) error {
	return v.render(http.StatusOK, "tokens", "Your access tokens", nil)
}
