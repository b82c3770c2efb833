// Package git holds no code without the build tag acceptance. Its tests let the git command clone and push through
// every proxy, with git http-backend behind it and Latchkey deciding.
package git
