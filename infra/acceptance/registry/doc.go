// Package registry holds no code. Its tests run container registries, 2.8 and 3.x, behind both doors, forward-auth
// and the token endpoint, and use them with the clients that people use: crane and skopeo.
package registry
