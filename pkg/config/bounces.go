package config

import "errors"

// ReadBounces returns the variables of functions/bounces.
func ReadBounces(environ []string) (Base, error) {
	c, err := parse[Base](environ)
	return c, errors.Join(err, c.complete())
}
