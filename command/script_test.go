package command

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"inmanta-docker": func() {
			os.Exit(Run(context.Background(), Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, os.Args[1:], "test"))
		},
	})
}

// The scripts are what a user types where no engine answers: everything that
// can be said without one. Package e2e has the rest.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("DOCKER_HOST", "unix://"+env.WorkDir+"/no-engine.sock")
			env.Setenv("NO_COLOR", "1")
			env.Setenv("LC_ALL", "C.UTF-8")
			return nil
		},
	})
}
