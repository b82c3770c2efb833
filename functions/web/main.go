// Command web serves the page on which people manage their tokens in a browser, below /-/.
package main

import "latchkey/pkg/compose/web"

func main() { web.Main() }
