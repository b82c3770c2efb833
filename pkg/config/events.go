package config

// Events holds the variables of functions/events.
type Events struct {
	Stage string `env:"STAGE" envDefault:"prod"`
	// Bus is the name of the bus.
	Bus string `env:"EVENT_BUS,required,notEmpty"`
	// Endpoint overrides the region's buses.
	Endpoint string `env:"EVENTBRIDGE_ENDPOINT"`
}

// ReadEvents returns the variables of functions/events.
func ReadEvents(environ []string) (Events, error) { return parse[Events](environ) }
