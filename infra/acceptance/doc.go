// Package acceptance holds no code. Its folders test Latchkey from the outside with what people really use:
// a browser, proxies, Git, container registries, an SSH server. Each folder is one kind of door. The tests carry
// the build tag acceptance and run with `make acceptance`, which installs the programs that they start; a
// missing program fails them.
package acceptance
