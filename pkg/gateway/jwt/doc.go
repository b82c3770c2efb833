// Package jwt serves /jwt/: the token endpoint to which a container registry sends its clients, and the
// keys by which the registry recognises what they bring back.
//
// Start with New and Server.Handler. A client presents a token as the password of HTTP Basic (GET), or in
// a form (POST), and gets a JWT with what it asked for, cut to what the token may do. The format is that of
// the registry project ("Token Authentication Specification" and "Oauth2 Token Authentication"). The
// package promises that a JWT ends with its token's own expiry at the latest, and that none is in a log.
//
// A registry asks nobody about a JWT. So a revoked token can pass for the life of a JWT.
package jwt
