package sweep

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// maxDebts bounds the progress item: 5,000 ids take 50 kB of DynamoDB's 400 kB, and with recipients
// 150 kB.
const maxDebts = 5000

// debts are the missing marks of mails that were sent. They are safe for concurrent use.
type debts struct {
	mu  sync.Mutex
	all map[Debt]bool
}

func newDebts(list []Debt) *debts {
	d := &debts{all: map[Debt]bool{}}
	for _, one := range list {
		d.all[one] = true
	}
	return d
}

func (d *debts) has(one Debt) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all[one]
}

func (d *debts) add(dues []due) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, one := range dues {
		if len(d.all) < maxDebts {
			d.all[one.debt()] = true
		}
	}
}

// debt returns the debt for a missing mark of d.
func (d *due) debt() Debt {
	if d.box == "" {
		return Debt{Token: d.ID}
	}
	return Debt{Token: d.ID, To: d.holder}
}

func (d *debts) list() []Debt {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.SortedFunc(maps.Keys(d.all), func(a, b Debt) int {
		return cmp.Or(cmp.Compare(a.Token, b.Token), cmp.Compare(a.To, b.To))
	})
}
