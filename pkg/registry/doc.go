// Package registry decides what a token may do with container images.
//
// Start with Request.Wanted or ParseScope, which say what a client wants, and with Judge, which says how
// much of that a principal may have. Both doors to a registry use the package: forward-auth in front of
// it, and the token endpoint that it sends clients to. So both decide alike. The package does no I/O of
// its own and knows neither HTTP nor a token format.
//
// An image belongs to a project: `acme/web` and everything below it, such as `acme/web/api/debug`, are
// repositories of the project acme/web.
package registry
