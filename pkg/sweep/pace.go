package sweep

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate" // token bucket for the mails; maintained by the Go team

	"latchkey/pkg/clock"
)

// A pacer keeps to the account's send rate, which it requests before the first mail. It slows down
// when SES throttles, and speeds up step by step. It is safe for concurrent use.
type pacer struct {
	ask    func(context.Context) (perSecond float64, err error)
	shards int // share the rate

	mu          sync.Mutex // guards the fields that depend on the rate
	limiter     *rate.Limiter
	most, least rate.Limit
}

const (
	slowest  = 0.5 // mails a second, all shards together
	recovery = 1.05

	// markMargin before the deadline, mails stop, because a sent mail must also be marked.
	markMargin = 15 * time.Second
	// batchTime is how long sending a batch may take, so that the lease is renewed in time even by
	// a slow account.
	batchTime = 20 * time.Second
)

var (
	// errRate means that the send rate is unknown, which concerns every mail.
	errRate = fmt.Errorf("%w: send rate unknown", ErrUnsent)
	// errNoTime means that the next mail's turn comes after the end of the run.
	errNoTime = errors.New("no time left")
)

// turn waits until the next mail may go out.
func (p *pacer) turn(ctx context.Context) error {
	limiter, err := p.known(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errRate, err)
	}
	ctx, cancel := clock.Early(ctx, markMargin)
	defer cancel()
	if limiter.Wait(ctx) != nil {
		return errNoTime
	}
	return nil
}

func (p *pacer) known(ctx context.Context) (*rate.Limiter, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limiter != nil {
		return p.limiter, nil
	}
	perSecond, err := p.ask(ctx)
	if err != nil {
		return nil, err
	}
	p.least = rate.Limit(slowest / float64(p.shards))
	p.most = max(rate.Limit(perSecond/float64(p.shards)), p.least)
	p.limiter = rate.NewLimiter(p.most, 1)
	return p.limiter, nil
}

// batch returns how many mails can be sent within batchTime, between one and most.
func (p *pacer) batch(most int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.limiter == nil {
		return most
	}
	return max(1, min(most, int(float64(p.limiter.Limit())*batchTime.Seconds())))
}

func (p *pacer) slowDown() { p.limiter.SetLimit(max(p.limiter.Limit()/2, p.least)) }

func (p *pacer) speedUp() {
	if now := p.limiter.Limit(); now < p.most {
		p.limiter.SetLimit(min(now*recovery, p.most))
	}
}
