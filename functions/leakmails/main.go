// Command leakmails tells people about reports of leaked bearers. It receives the ids of the tokens
// from a queue that functions/leaks fills.
package main

import "latchkey/pkg/compose/leakmails"

func main() { leakmails.Main() }
