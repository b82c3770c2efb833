package sweep

import (
	"errors"

	"golang.org/x/sync/errgroup" // bounds what runs at once; the extended standard library's
)

// parallel does something with each of a list, limit of them at a time. A fault
// keeps no other back; it returns all faults.
func parallel[T any](limit int, list []T, do func(T) error) error {
	faults := make([]error, len(list))
	workers := errgroup.Group{}
	workers.SetLimit(limit)
	for i, one := range list {
		workers.Go(func() error {
			faults[i] = do(one)
			return nil
		})
	}
	_ = workers.Wait()
	return errors.Join(faults...)
}
