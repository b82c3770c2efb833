// Command registry gives clients of a container registry the JWTs that it asks for, GET /jwt/auth, and
// publishes the keys that sign them.
package main

import "latchkey/pkg/compose/registry"

func main() { registry.Main() }
