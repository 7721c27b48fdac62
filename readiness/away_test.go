package readiness

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

// line is a way to the engine that can be cut: to whoever uses it the engine
// then is away.
type line struct {
	t        *testing.T
	socket   string
	engine   string
	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]bool
}

// newLine is a client on a line of its own.
func newLine(t *testing.T, to *client.Client) (*line, *client.Client) {
	t.Helper()
	socket, local := strings.CutPrefix(to.DaemonHost(), "unix://")
	if !local {
		t.Fatalf("this test needs an engine on a socket, not %s", to.DaemonHost())
	}
	l := &line{t: t, socket: filepath.Join(t.TempDir(), "s"), engine: socket}
	l.restore()
	t.Cleanup(l.cut)
	through, err := client.New(client.WithHost("unix://" + l.socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = through.Close() })
	return l, through
}

func (l *line) restore() {
	listener, err := net.Listen("unix", l.socket)
	if err != nil {
		l.t.Error(err)
		return
	}
	l.mu.Lock()
	l.listener, l.open = listener, map[net.Conn]bool{}
	l.mu.Unlock()
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", l.engine)
			if err != nil {
				_ = near.Close()
				continue
			}
			l.mu.Lock()
			if l.listener == listener {
				l.open[near], l.open[far] = true, true
			} else { // cut meanwhile
				_, _ = near.Close(), far.Close()
			}
			l.mu.Unlock()
			go func() { _, _ = io.Copy(far, near); _ = far.(*net.UnixConn).CloseWrite() }()
			go func() { _, _ = io.Copy(near, far); _ = near.(*net.UnixConn).CloseWrite() }()
		}
	}()
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil {
		_ = l.listener.Close()
	}
	for c := range l.open {
		_ = c.Close()
	}
	l.listener, l.open = nil, nil
}

// While the engine is away, one container gets ready and another is started
// again: both are seen when it is back, and that it was away is said.
func TestEngineGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	engine, stack := play(t,
		part{service: "db", check: ownCheck("exists=/ready", "exit=0")},
		part{service: "web", check: ownCheck("exists=/ready", "exit=0")},
	)
	l, through := newLine(t, engine)
	ctx, cancel := context.WithTimeout(t.Context(), generous)
	defer cancel()
	var once sync.Once
	var words []string
	result, err := Wait(ctx, through, stack, func(e progress.Event) {
		switch {
		case e.ID == "Container engine":
			words = append(words, e.Text+" "+string(e.Status))
			if e.Status != progress.Working {
				return
			}
			if _, err := engine.ContainerRestart(t.Context(), stack.Project+"-web", client.ContainerRestartOptions{}); err != nil {
				t.Error(err)
			}
			for _, service := range stack.Services {
				if _, _, err := runIn(t.Context(), engine, stack.Project+"-"+service, []string{"/actor", "write=/ready", "exit=0"}); err != nil {
					t.Error(err)
				}
			}
			l.restore()
		default:
			once.Do(l.cut)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(words, ", "), "Gone working, Back done"; got != want {
		t.Errorf("said of the engine %q, want %q", got, want)
	}
	for _, c := range result.Containers {
		now, err := inspect(t.Context(), engine, c.ID)
		if err != nil || !now.Started.Equal(c.Started) {
			t.Errorf("%s was started at %s, and is said to have been at %s (%v)", c.Name, now.Started, c.Started, err)
		}
	}
}

// timeIsUp is a context whose time is up when done is closed.
type timeIsUp struct {
	context.Context
	done chan struct{}
}

func (c timeIsUp) Done() <-chan struct{} { return c.done }

func (c timeIsUp) Err() error {
	select {
	case <-c.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// An engine that stays away ends the wait when its time is up, and Ctrl-C at once.
func TestEngineStaysAway(t *testing.T) {
	t.Parallel()
	engine, stack := play(t, part{service: "db", check: ownCheck("exit=1")})
	for name, c := range map[string]struct {
		// end ends the wait, once the engine is gone.
		end  func(*testing.T) (context.Context, func())
		want func(error) bool
	}{
		"time": {
			func(t *testing.T) (context.Context, func()) {
				ctx := timeIsUp{t.Context(), make(chan struct{})}
				return ctx, func() { close(ctx.done) }
			},
			func(err error) bool {
				p := problem.In(err)
				return len(p) == 1 && p[0].ID == "engine-lost" && strings.Contains(p[0].What, "went away") && p[0].Fix != ""
			},
		},
		"interrupt": {
			func(t *testing.T) (context.Context, func()) { return context.WithCancel(t.Context()) },
			func(err error) bool { return errors.Is(err, context.Canceled) && len(problem.In(err)) == 1 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, through := newLine(t, engine)
			ctx, end := c.end(t)
			var once sync.Once
			_, err := Wait(ctx, through, stack, func(e progress.Event) {
				once.Do(l.cut)
				if e.ID == "Container engine" {
					end()
				}
			})
			if !c.want(err) {
				t.Errorf("it ends with %#v", err)
			}
		})
	}
}

// broken is an engine that answers that it cannot.
type broken struct{ Engine }

func (broken) ContainerList(context.Context, client.ContainerListOptions) (client.ContainerListResult, error) {
	return client.ContainerListResult{}, errdefs.ErrInternal.WithMessage("the disk is full")
}

func TestEngineThatAnswersThatItCannot(t *testing.T) {
	t.Parallel()
	engine := prepare(t)
	_, err := Wait(t.Context(), broken{engine}, Stack{Project: "rdy-broken"}, progress.Discard)
	if p := problem.In(err); len(p) != 1 || p[0].ID != "engine-lost" || !strings.Contains(p[0].What, "the disk is full") {
		t.Errorf("it ends with %v", err)
	}
}
