package control

import (
	"context"
	"sync/atomic"
	"time"
)

// Retry does something until it succeeds or the context is done, with a pause after
// each failure. tell is told why it failed, and whether that is news.
func Retry(ctx context.Context, pause time.Duration, do func(context.Context) error, tell func(why error, news bool)) {
	said := ""
	for ctx.Err() == nil {
		err := do(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		news := said != err.Error()
		said = err.Error()
		tell(err, news)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// Pulse says whether somebody goes on. It goes by no clock on a wall: those are put
// right.
type Pulse struct {
	began time.Time
	// beat is when the last one was, in nanoseconds since it began.
	beat atomic.Int64
}

// NewPulse is one that has just had a beat.
func NewPulse() *Pulse { return &Pulse{began: time.Now()} }

// Beat notes a sign of life.
func (p *Pulse) Beat() { p.beat.Store(int64(time.Since(p.began))) }

// Quiet is how long there has been none.
func (p *Pulse) Quiet() time.Duration { return time.Since(p.began) - time.Duration(p.beat.Load()) }
