package store

import (
	"strings"

	"latchkey/pkg/principal"
	"latchkey/pkg/token"
)

// Switch: SETTINGS / FEATURE#<name>, for everybody
//         SETTINGS / FEATURE#<name>#PROJECT#<id>, likewise GROUP and USER, for one target
// A name has no #, so that all switches of a feature lie side by side.

const (
	settingsPartition = "SETTINGS"
	featurePrefix     = "FEATURE#"
)

var targetPrefixes = map[principal.TargetKind]string{
	principal.ProjectOnly: "PROJECT#",
	principal.GroupOnly:   "GROUP#",
	principal.UserOnly:    "USER#",
}

func switchKey(feature string, target principal.Target) key {
	sort := featurePrefix + feature
	if target.Kind != principal.Everybody {
		sort += "#" + targetPrefixes[target.Kind] + itoa(target.ID)
	}
	return keyOf(settingsPartition, sort)
}

func switchItem(s principal.Switch) item {
	it := switchKey(s.Feature, s.Target)
	it["enabled"] = boolean(s.On)
	return it
}

func readSwitch(it item) (principal.Switch, error) {
	r := reader{item: it}
	feature, target, targeted := strings.Cut(strings.TrimPrefix(r.text("sk"), featurePrefix), "#")
	s := principal.Switch{Feature: feature, On: r.flag("enabled")}
	if _, there := it["enabled"]; !there {
		r.fault("enabled") // a switch that says nothing must not pass for one that says off
	}
	if targeted {
		s.Target = readTarget(target)
	}
	if feature == "" || targeted && s.Target.Kind == principal.Everybody {
		r.fault("sk")
	}
	if r.err != nil {
		return principal.Switch{}, r.err
	}
	return s, nil
}

// readTarget returns everybody for what is no target's name.
func readTarget(s string) principal.Target {
	for kind, prefix := range targetPrefixes {
		digits, ours := strings.CutPrefix(s, prefix)
		if id, err := token.ParseOwnerID(digits); ours && err == nil { // ids of resources have the same form
			return principal.Target{Kind: kind, ID: int64(id)}
		}
	}
	return principal.Target{}
}
