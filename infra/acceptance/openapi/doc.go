// Package openapi holds no code. Its test lets a fuzzer go through docs/openapi.yaml against the whole of Latchkey.
package openapi
