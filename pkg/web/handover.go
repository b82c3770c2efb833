package web

import (
	"encoding/json"
	"net/http"
	"time"

	"latchkey/pkg/account"
	"latchkey/pkg/lifecycle"
	"latchkey/pkg/token"
)

// A new bearer travels from the reply that made it to the page that shows it in a sealed cookie, so
// that showing the page again shows nothing: the page clears the cookie. It is never in a URL. Each
// token has a cookie of its own, because people make tokens in two tabs.
const (
	handOverCookie  = "__Host-latchkey-new-" // and the token's id
	handOverPurpose = "new bearer"
	// handOverLife is how long the browser has to fetch the page.
	handOverLife = 2 * time.Minute
	// shownCookie comes with a page that shows a bearer, and goes with its style. Chromium keeps whole pages for
	// Back, no-store or not, unless a cookie that scripts cannot read has changed after the page came.
	shownCookie = "__Host-latchkey-shown"
)

// A handedOver is what the cookie holds.
type handedOver struct {
	Owner  account.ID `json:"o"`
	Token  token.ID   `json:"t"`
	Bearer string     `json:"b"`
	Until  int64      `json:"u"` // epoch seconds
}

// handOver sends the browser to the page that shows a new bearer once. The token exists, so nothing
// here may fail the request: without a cookie the page says how to get a value.
func (o owner) handOver(issued lifecycle.Issued) error {
	v := o.v
	sealed, err := v.seal(handedOver{v.by.Account.ID, issued.Token.ID, issued.Bearer.Reveal(), v.now.Add(handOverLife).Unix()})
	if err != nil {
		v.err = err
	} else {
		setCookie(v.w, handOverCookie+issued.Token.ID.String(), sealed, handOverLife)
	}
	return o.to(issued.Token.ID, "/created")
}

func (v *visit) seal(value handedOver) (string, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	return v.site.parts.Sealer.Seal(handOverPurpose, raw)
}

// takeOver returns the bearer of a token that was just made for who is signed in, and clears the
// cookie. It returns "" if there is none.
func (v *visit) takeOver(id token.ID) string {
	if v.r.Method != http.MethodGet {
		return "" // a reply without a body must not use the value up
	}
	name := handOverCookie + id.String()
	sealed, err := onlyCookie(v.r, name)
	if err != nil {
		return ""
	}
	setCookie(v.w, name, "", 0)
	raw, err := v.site.parts.Sealer.Open(handOverPurpose, sealed)
	if err != nil {
		return ""
	}
	var value handedOver
	if err := json.Unmarshal(raw, &value); err != nil ||
		value.Owner != v.by.Account.ID || value.Token != id || v.now.Unix() >= value.Until {
		return ""
	}
	setCookie(v.w, shownCookie, "1", handOverLife)
	v.shows = true
	return value.Bearer
}
