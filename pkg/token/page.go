package token

// A Page is a part of a list that is ordered by id.
type Page struct {
	Offset, Limit        int
	Descending           bool
	WithoutImpersonation bool
}
