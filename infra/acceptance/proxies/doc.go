// Package proxies holds no code without the build tag acceptance. Its tests start each proxy with the samples of
// infra/proxies in front of a backend that records what it gets.
package proxies
