package web

import (
	"embed"
	"net/http"
	"path"
)

//go:embed assets
var assetFiles embed.FS

var assetTypes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

// assetRoutes serve the style, the script and the icon.
func assetRoutes() []route {
	return []route{{method: http.MethodGet, path: "/-/assets/{file}", open: true, handle: asset}}
}

func asset(v *visit) error {
	file := v.path("file")
	content, err := assetFiles.ReadFile("assets/" + file)
	if err != nil {
		return errNoRoute
	}
	if len(v.r.CookiesNamed(shownCookie)) > 0 {
		setCookie(v.w, shownCookie, "", 0)
	}
	return v.write(http.StatusOK, assetTypes[path.Ext(file)], content)
}
