// Package snippets holds no code without the build tag acceptance. Its tests build the snippets for the authorizer with
// the tools that people use.
package snippets
