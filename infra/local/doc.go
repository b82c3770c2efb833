// Package local runs Latchkey on this machine: its functions, as deployed, on the cloud that
// package infra/cloud imitates. `make run` and the end-to-end tests use it.
//
// Start with Product. The package makes the table, gives each function its environment and
// permissions from the template, and makes the first administrator. It replaces nothing above the
// SDK clients: the same handlers run here, in the tests and in AWS.
package local
