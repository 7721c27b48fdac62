package database

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/engine"
)

// container answers every command in one way, and keeps what it was asked.
type container struct {
	result  engine.Result
	err     error
	command []string
	stdin   string
}

func (c *container) Exec(_ context.Context, _ string, command []string, stdin string) (engine.Result, error) {
	c.command, c.stdin = command, stdin
	return c.result, c.err
}

func TestLogin(t *testing.T) {
	broken := errors.New("no engine")
	for name, c := range map[string]struct {
		container container
		want      error
		says      string
	}{
		"opens":          {container: container{}},
		"wrong password": {container: container{result: engine.Result{ExitCode: 2, Stderr: `psql: error: FATAL:  password authentication failed for user "inmanta"`}}, want: ErrPassword},
		"not ready":      {container: container{result: engine.Result{ExitCode: 2, Stderr: "the database system is starting up"}}, says: "starting up"},
		"no engine":      {container: container{err: broken}, want: broken},
	} {
		t.Run(name, func(t *testing.T) {
			err := Login(context.Background(), &c.container, "id", "host", "hunter22")
			if c.want != nil && !errors.Is(err, c.want) || c.want == nil && c.says == "" && err != nil ||
				c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, ErrPassword)) {
				t.Errorf("got %v", err)
			}
			if slices.ContainsFunc(c.container.command, func(a string) bool { return strings.Contains(a, "hunter22") }) {
				t.Errorf("the password is in the arguments: %q", c.container.command)
			}
			if c.container.stdin != "hunter22\n" {
				t.Errorf("the password is not on standard input: %q", c.container.stdin)
			}
		})
	}
}

func TestAsk(t *testing.T) {
	c := &container{result: engine.Result{Stdout: `{"version" : "17.6", "bytes" : 9490432, "connections" : 10, "max_connections" : 100}`}}
	got, err := Ask(context.Background(), c, "id")
	if want := (Status{Version: "17.6", Bytes: 9490432, Connections: 10, MaxConnections: 100}); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, broken := range []*container{
		{result: engine.Result{ExitCode: 1, Stderr: "gone"}},
		{result: engine.Result{Stdout: "not JSON"}},
	} {
		if got, err := Ask(context.Background(), broken, "id"); err == nil {
			t.Errorf("%+v gives %+v", broken.result, got)
		}
	}
}
