package control

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// serving is a daemon that answers, until the test ends.
func serving(t *testing.T, answer func(context.Context, string) string) (address string) {
	t.Helper()
	address = fmt.Sprintf("@control-test-%d-%d", os.Getpid(), rand.Int64())
	listener, err := net.Listen("unix", address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, listener, answer, func(err error) string { return "refused: " + err.Error() })
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return address
}

func TestAsk(t *testing.T) {
	t.Parallel()
	address := serving(t, func(_ context.Context, asked string) string { return asked + "!" })
	if got, err := Ask[string, string](t.Context(), address, "the daemon", "hello"); err != nil || got != "hello!" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := Ask[int, string](t.Context(), address, "the daemon", 5); err != nil || !strings.HasPrefix(got, "refused: that is no request") {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := Ask[string, int](t.Context(), address, "the daemon", "hello"); err == nil || !strings.Contains(err.Error(), "the daemon did not answer") {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := Ask[string, string](t.Context(), address+"-gone", "the daemon", "hello"); err == nil || !strings.Contains(err.Error(), "the daemon does not run") {
		t.Errorf("%v", err)
	}
}

// Whoever goes away is not waited for, on either side.
func TestGoingAway(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	address := serving(t, func(ctx context.Context, _ string) string {
		<-ctx.Done()
		close(gone)
		return ""
	})
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("enough"))
	defer cancel()
	if _, err := Ask[string, string](ctx, address, "the daemon", "hello"); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("%v", err)
	}
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Error("it goes on answering somebody who is gone")
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var told []string
	tell := func(why error, news bool) { told = append(told, fmt.Sprint(why, " ", news)) }
	failures := []error{errors.New("a"), errors.New("a"), errors.New("b"), errors.New("a"), nil}
	Retry(ctx, time.Millisecond, func(context.Context) error {
		err := failures[0]
		failures = failures[1:]
		return err
	}, tell)
	if got := strings.Join(told, ", "); got != "a true, a false, b true, a true" || len(failures) > 0 {
		t.Errorf("told %s, and %d are left", got, len(failures))
	}
	// What ends because it is told to has not failed.
	told = nil
	Retry(ctx, time.Hour, func(context.Context) error {
		cancel()
		return errors.New("told to")
	}, tell)
	if len(told) > 0 {
		t.Errorf("told %q", told)
	}
}

func TestPulse(t *testing.T) {
	t.Parallel()
	p := NewPulse()
	p.beat.Store(-int64(time.Hour))
	if quiet := p.Quiet(); quiet < time.Hour {
		t.Errorf("quiet for %s, and an hour has passed", quiet)
	}
	p.Beat()
	if quiet := p.Quiet(); quiet < 0 || quiet >= time.Hour {
		t.Errorf("quiet for %s after a beat", quiet)
	}
}
