package lock

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

func TestOneAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	release, err := Take(t.Context(), dir, func() { t.Error("the first one waits") })
	if err != nil {
		t.Fatal(err)
	}

	// One that gives up leaves the turn to those behind it.
	impatient, cancel := context.WithCancel(t.Context())
	if _, err := Take(impatient, dir, cancel); !errors.Is(err, context.Canceled) {
		t.Fatalf("a wait that was called off ends with %v", err)
	}

	waits, has := make(chan struct{}), make(chan error, 1)
	go func() {
		release, err := Take(t.Context(), dir, func() { close(waits) })
		if err == nil {
			release()
		}
		has <- err
	}()
	<-waits
	select {
	case err := <-has:
		t.Fatalf("two at once (%v)", err)
	default:
	}
	release()
	if err := <-has; err != nil {
		t.Fatal(err)
	}
}

func TestNothingToLock(t *testing.T) {
	t.Parallel()
	if _, err := Take(t.Context(), filepath.Join(t.TempDir(), "absent"), func() {}); err == nil {
		t.Error("what is not there was locked")
	}
}
