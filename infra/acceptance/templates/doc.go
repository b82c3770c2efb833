// Package templates holds no code. Its tests let checkov judge the templates as the SAM transform translates them, and
// prove that `make lint` finds a planted fault.
package templates
