package config

import (
	"errors"
	"slices"
)

// Registry holds the variables of functions/registry.
type Registry struct {
	Common
	// Service is the name of the container registry, as its own configuration has it.
	Service string `env:"REGISTRY_SERVICE,required,notEmpty"`
	// Keys are the secrets of the keys that sign, the one that signs first.
	Keys []string `env:"REGISTRY_KEYS,required,notEmpty" envSeparator:" "`
	// Life is how long a JWT is good, in seconds. A revoked token can pass for as long.
	Life int `env:"REGISTRY_TOKEN_SECONDS" envDefault:"300"`
}

// The limits of the registry's variables. A client takes a life of less than a minute for a minute.
const (
	minRegistryKey  = 32 // bytes
	minRegistryLife = 60 // seconds
	maxRegistryLife = 900
)

// ReadRegistry returns the variables of functions/registry.
func ReadRegistry(environ []string) (Registry, error) {
	c, err := parse[Registry](environ)
	list := checklist{err, c.complete()}
	list.fault(slices.ContainsFunc(c.Keys, func(key string) bool { return len(key) < minRegistryKey }),
		"REGISTRY_KEYS has a key of fewer than %d characters", minRegistryKey)
	list.fault(c.Life < minRegistryLife || c.Life > maxRegistryLife, "REGISTRY_TOKEN_SECONDS is outside %d to %d", minRegistryLife, maxRegistryLife)
	return c, errors.Join(list...)
}
