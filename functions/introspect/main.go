// Command introspect answers servers that ask about tokens: proxies by forward-auth below /auth/, and
// others by RFC 7662 introspection, POST /oauth/introspect.
package main

import "latchkey/pkg/compose/introspect"

func main() { introspect.Main() }
