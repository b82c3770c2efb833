// Package local runs Latchkey on this machine: its functions, as deployed, on the cloud that package
// infra/cloud imitates. `make run` and the end-to-end tests use it.
//
// Start with Product. The package makes the table, gives each function the environment and the
// permissions that the template gives it, and makes the first administrator. Nothing above the SDK's
// clients is imitated: the same handlers run here, in the tests and in AWS.
package local
