// Package scope has the closed list of permissions and the one table of the methods and paths that
// each opens.
//
// Start with GitLab for Latchkey's own catalog, or Load for an operator's. Catalog.Require serves
// an endpoint that knows its route, and Catalog.Grants a policy for every route. Catalog.CheckPath
// must come before any rule is applied to a path from outside. A Reach confines the tokens of a
// project or group to what belongs to it. At a GraphQL endpoint the method says little, so
// Withheld takes back what the rules open to readers. The package promises that Require and Grants agree, because both
// match the same rules in the same way. It does no I/O except reading Load's reader.
package scope
