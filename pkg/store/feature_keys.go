package store

import (
	"strings"

	"latchkey/pkg/account"
	"latchkey/pkg/feature"
)

// Switch: SETTINGS / FEATURE#<name>, for everybody
//         SETTINGS / FEATURE#<name>#PROJECT#<id>, likewise GROUP and USER, for one target
// A name has no #, so all switches of a feature are adjacent.

const (
	settingsPartition = "SETTINGS"
	featurePrefix     = "FEATURE#"
)

var targetPrefixes = map[feature.TargetKind]string{
	feature.ProjectOnly: "PROJECT#",
	feature.GroupOnly:   "GROUP#",
	feature.AccountOnly: "USER#",
}

func switchKey(name string, target feature.Target) key {
	sort := featurePrefix + name
	if target.Kind != feature.Everybody {
		sort += "#" + targetPrefixes[target.Kind] + itoa(target.ID)
	}
	return keyOf(settingsPartition, sort)
}

func switchItem(s feature.Switch) item {
	it := switchKey(s.Feature, s.Target)
	it["enabled"] = boolean(s.On)
	return it
}

func readSwitch(it item) (feature.Switch, error) {
	r := attributes{item: it}
	name, target, targeted := strings.Cut(strings.TrimPrefix(r.text("sk"), featurePrefix), "#")
	s := feature.Switch{Feature: name, On: r.flag("enabled")}
	if _, there := it["enabled"]; !there {
		r.fault("enabled") // an incomplete switch must not count as off
	}
	if targeted {
		s.Target = readTarget(target)
	}
	if name == "" || targeted && s.Target.Kind == feature.Everybody {
		r.fault("sk")
	}
	if r.err != nil {
		return feature.Switch{}, r.err
	}
	return s, nil
}

// readTarget returns everybody for an unknown target.
func readTarget(s string) feature.Target {
	for kind, prefix := range targetPrefixes {
		digits, ours := strings.CutPrefix(s, prefix)
		if id, err := account.ParseID(digits); ours && err == nil { // project ids have the same form
			return feature.Target{Kind: kind, ID: int64(id)}
		}
	}
	return feature.Target{}
}
