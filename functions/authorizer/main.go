// Command authorizer decides for other people's APIs whether a bearer may pass: bearer in,
// allow or deny out.
package main

import "latchkey/pkg/compose/authorizer"

func main() { authorizer.Main() }
