package principal

// A TargetKind says what a switch of a feature is for.
type TargetKind string

// The kinds of target. The zero value is everybody.
const (
	Everybody   TargetKind = ""
	ProjectOnly TargetKind = "project"
	GroupOnly   TargetKind = "group"
	UserOnly    TargetKind = "user"
)

// A Target is whom a switch is for: everybody, whose ID is 0, or one project,
// group or account.
type Target struct {
	Kind TargetKind
	ID   int64
}

// Target returns the target that a resource is.
func (r Resource) Target() Target {
	if r.Kind == Group {
		return Target{GroupOnly, int64(r.ID)}
	}
	return Target{ProjectOnly, int64(r.ID)}
}

// Target returns the target that an account is.
func (u User) Target() Target { return Target{UserOnly, int64(u.ID)} }

// A Switch turns a feature on or off for one target. The switch of a project,
// group or account decides for it, that of everybody for the rest.
type Switch struct {
	Feature string
	Target  Target
	On      bool
}
