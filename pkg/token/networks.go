package token

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"latchkey/pkg/fault"
)

// Networks are the addresses from which a token may be used; an empty list means everywhere. They
// come from ParseNetworks, which gives every set of addresses one spelling.
type Networks []netip.Prefix

// MaxNetworks is how many networks a token may have. Every check reads them.
const MaxNetworks = 20

// ErrNetworks means that a text is not a list of networks.
var ErrNetworks = fmt.Errorf("%w: not a list of 1 to %d IPv4 or IPv6 addresses and CIDR blocks", fault.ErrInput, MaxNetworks)

// A HostBits is an ErrNetworks about an address behind which stands the length of a block that does not
// begin there: a typo in either of them.
type HostBits struct {
	// Meant is the block of this length that has the address.
	Meant netip.Prefix
}

// Error leaves out the address, because a client wrote it.
func (h *HostBits) Error() string { return ErrNetworks.Error() + ": bits behind the length of a block" }

func (h *HostBits) Unwrap() error { return ErrNetworks }

// ParseNetworks parses CIDR blocks and single addresses. A block with bits behind its length is a
// *HostBits. It refuses IPv4 addresses in IPv6 form, because the gateway reports them as IPv4, and such a block
// would never match.
func ParseNetworks(texts []string) (Networks, error) {
	if len(texts) > MaxNetworks {
		return nil, ErrNetworks
	}
	var networks Networks
	for _, text := range texts {
		block, err := netip.ParsePrefix(text)
		if address, addressErr := netip.ParseAddr(text); addressErr == nil && address.Zone() == "" {
			block, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		if err != nil || block.Addr().Is4In6() {
			return nil, ErrNetworks
		}
		if block != block.Masked() {
			return nil, &HostBits{block.Masked()}
		}
		networks = append(networks, block)
	}
	slices.SortFunc(networks, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return slices.Compact(networks), nil
}

// Allow reports whether a request from an address may use the token. With a list, an unknown
// address may not.
func (n Networks) Allow(from netip.Addr) bool {
	if len(n) == 0 {
		return true
	}
	from = from.Unmap()
	return slices.ContainsFunc(n, func(block netip.Prefix) bool { return block.Contains(from) })
}

// Within reports whether outer allows every address that n allows, block by block: two halves of a
// block do not add up to it.
func (n Networks) Within(outer Networks) bool {
	if len(outer) == 0 {
		return true
	}
	return len(n) > 0 && !slices.ContainsFunc(n, func(block netip.Prefix) bool {
		return !slices.ContainsFunc(outer, func(o netip.Prefix) bool {
			return o.Bits() <= block.Bits() && o.Contains(block.Addr())
		})
	})
}

// Texts returns the one spelling of the networks.
func (n Networks) Texts() []string {
	texts := make([]string, len(n))
	for i, block := range n {
		texts[i] = block.String()
	}
	return texts
}
