package image

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOneBuilderAtATime(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	unlock, err := lock(t.Context(), func() { t.Error("the first one waits") })
	if err != nil {
		t.Fatal(err)
	}

	impatient, cancel := context.WithCancel(t.Context())
	if _, err := lock(impatient, cancel); !errors.Is(err, context.Canceled) {
		t.Fatalf("a wait that was called off ends with %v", err)
	}

	waits, has := make(chan struct{}), make(chan error, 1)
	go func() {
		unlock, err := lock(t.Context(), func() { close(waits) })
		if err == nil {
			unlock()
		}
		has <- err
	}()
	<-waits
	select {
	case err := <-has:
		t.Fatalf("two builders at once (%v)", err)
	default:
	}
	unlock()
	select {
	case err := <-has:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the second builder waits for ever")
	}
}
