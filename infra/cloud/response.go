package cloud

import "regexp"

// gatewayFault is a reply that the gateway makes itself. kind is the gateway response type; status
// applies unless the template sets one.
type gatewayFault struct {
	kind    string
	status  int
	message string
}

func (f *gatewayFault) Error() string { return f.kind + ": " + f.message }

var contextVariable = regexp.MustCompile(`\$context(\.[A-Za-z0-9_]+)+`)
