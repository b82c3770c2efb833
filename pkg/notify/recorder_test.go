package notify_test

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"testing"

	"latchkey/pkg/notify"
	"latchkey/pkg/sweep"
)

var (
	_ sweep.Mailer = (*notify.SES)(nil)
	_ sweep.Mailer = (*notify.Recorder)(nil)
)

func TestRecorder(t *testing.T) {
	t.Run("keeps what it accepted", func(t *testing.T) {
		var r notify.Recorder
		n := mailNotice(t)
		want := mailNotice(t)
		if err := r.Send(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		n.Tokens[0].Name = "changed later"
		if got := r.Sent(); !reflect.DeepEqual(got, []sweep.Notice{want}) {
			t.Errorf("Sent() = %v", got)
		}
		if rate, err := r.Rate(t.Context()); rate <= 0 || err != nil {
			t.Errorf("Rate() = %v, %v", rate, err)
		}
	})
	t.Run("keeps nothing that it refused", func(t *testing.T) {
		r := notify.Recorder{
			Fail: func(n sweep.Notice) error {
				if n.Kind == sweep.Expired {
					return sweep.ErrThrottled
				}
				return nil
			},
			Speed: func() (float64, error) { return 0, sweep.ErrPaused },
		}
		refused := mailNotice(t)
		refused.Kind = sweep.Expired
		if err := r.Send(t.Context(), refused); !errors.Is(err, sweep.ErrThrottled) {
			t.Errorf("Send() = %v", err)
		}
		if err := r.Send(t.Context(), mailNotice(t)); err != nil {
			t.Errorf("Send() = %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Send(ctx, mailNotice(t)); !errors.Is(err, context.Canceled) {
			t.Errorf("Send() = %v", err)
		}
		if got := r.Sent(); len(got) != 1 || got[0].Kind != sweep.Expiring {
			t.Errorf("Sent() = %v", got)
		}
		if _, err := r.Rate(t.Context()); !errors.Is(err, sweep.ErrPaused) {
			t.Errorf("Rate() = %v", err)
		}
	})
	t.Run("can be used by many", func(t *testing.T) {
		var r notify.Recorder
		var running sync.WaitGroup
		n := mailNotice(t)
		for range 16 {
			running.Go(func() {
				if err := r.Send(t.Context(), n); err != nil {
					t.Error(err)
				}
				r.Sent()
			})
		}
		running.Wait()
		if got := len(r.Sent()); got != 16 {
			t.Errorf("%d notices", got)
		}
	})
}
