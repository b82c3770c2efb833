package sweep

import (
	"errors"

	"golang.org/x/sync/errgroup" // bounds concurrent work; maintained by the Go team
)

// parallel calls do for each element of list, at most limit at a time. A fault stops no other call;
// it returns all faults.
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
