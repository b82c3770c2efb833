package trail

// MaxRefusalKinds is how many kinds of refusals Notes remember.
const MaxRefusalKinds = maxRefusalKinds

// Kinds returns how many kinds of refusals n remembers.
func (n *Notes) Kinds() int { return len(n.refusals) }
