// Command authorizer decides whether a bearer may pass, for other people's APIs.
package main

import "latchkey/pkg/compose/authorizer"

func main() { authorizer.Main() }
