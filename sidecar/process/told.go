package process

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// UntilTold is done at the first signal to stop; hurry is once the grace period
// is over, or at the second. Whoever asks gives the signals back with cancel.
func UntilTold(grace time.Duration) (stop, hurry context.Context, cancel context.CancelFunc) {
	stop, stopNow := context.WithCancel(context.Background())
	hurry, hurryNow := context.WithCancel(context.Background())
	told := make(chan os.Signal, 2)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-told
		stopNow()
		select {
		case <-told:
		case <-time.After(grace):
		}
		hurryNow()
	}()
	return stop, hurry, func() { signal.Stop(told); stopNow(); hurryNow() }
}
