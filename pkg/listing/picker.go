package listing

// A Picker picks the entries of a part while somebody walks over a list, in the list's order. It ends the
// walk when the part is full, or when it has examined as many entries as it may: MaxByPlace of a part by
// place; of a part by number, MaxByNumber that do not match.
type Picker[T any] struct {
	want                  Want
	entries               []T
	next                  string // the place behind the entries, or behind the last one examined
	passed, missed, taken int
	more, spent           bool
}

// NewPicker returns a Picker for a part.
func NewPicker[T any](want Want) *Picker[T] { return &Picker[T]{want: want} }

// Take examines the next entry of the list, and reports whether the walk goes on. The place is the one
// behind the entry.
func (p *Picker[T]) Take(entry T, place string, matches bool) bool {
	if p.Full() && (matches || p.want.ByPlace) {
		p.more = true
		return false
	}
	p.taken++
	if !p.Full() {
		p.next = place
	}
	switch {
	case !matches:
		p.missed++
	case p.passed < p.want.Offset:
		p.passed++
	default:
		p.entries = append(p.entries, entry)
	}
	p.spent = p.want.ByPlace && p.taken >= MaxByPlace || !p.want.ByPlace && p.missed >= MaxByNumber
	return !p.spent
}

// Full reports whether the part has all its entries.
func (p *Picker[T]) Full() bool { return len(p.entries) >= p.want.Limit }

// Missing returns how many matches the walk still has to find, those in front of the part included.
func (p *Picker[T]) Missing() int { return p.want.Offset - p.passed + p.want.Limit - len(p.entries) }

// Part returns the part after the walk. rest says that the list has entries that were not walked over.
// Errors: ErrDeep.
func (p *Picker[T]) Part(rest bool) (Part[T], error) {
	if p.spent && p.want.Offset > 0 && !p.Full() {
		return Part[T]{}, ErrDeep
	}
	part := Part[T]{Entries: p.entries, Total: Uncounted}
	if rest || p.more || p.spent {
		part.Next = p.next
	}
	return part, nil
}
