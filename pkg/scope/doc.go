// Package scope has the closed list of permissions and the one table that
// says which methods and paths each of them opens.
//
// Start with GitLab for the catalog that ships, or Load for an operator's.
// Catalog.Require serves an endpoint that knows its own route,
// Catalog.Grants a policy that has to hold for every route, and
// Catalog.CheckPath must come before any rule is applied to a path from
// outside. A Reach keeps the tokens of a project or group to what belongs to
// it. The package promises that Require and Grants agree, because both read the
// same rules with the same matching. It does no I/O but reading the reader that
// Load is given.
package scope
