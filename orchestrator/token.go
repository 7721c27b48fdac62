package orchestrator

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/inmanta/inmanta-docker/sidecar/printed"
)

// Container runs a command in a container, with something to read for it.
type Container interface {
	Feed(ctx context.Context, container, user string, command []string, stdin io.Reader, stdout, stderr io.Writer) (exitCode int, err error)
}

// tokenProgram signs a token with the orchestrator's own code and key, as its
// `inmanta-cli token bootstrap` does. That one looks for the key in inmanta.cfg
// alone, and its tokens end after an hour.
const tokenProgram = `import sys
from inmanta.config import Config
from inmanta.protocol import encode_token
Config.load_config(config_dir="/etc/inmanta/inmanta.d")
sys.stdout.write(encode_token(["api"], expire=86400))
`

// python is the one that the orchestrator's packages are installed for.
const python = "/opt/inmanta/bin/python3"

// longestToken is more than any is, in bytes.
const longestToken = 16 << 10

// Token is what lets its holder ask an orchestrator everything that asks for a
// login, for a day. It is signed in the orchestrator's container, where its
// configuration has a key to sign with (a section auth_jwt_… with `sign = true`).
func Token(ctx context.Context, c Container, container string) (string, error) {
	stdout, stderr := &printed.Head{Most: longestToken}, &printed.Tail{Most: longestToken}
	code, err := c.Feed(ctx, container, "", []string{python, "-I", "-"}, strings.NewReader(tokenProgram), stdout, stderr)
	if err != nil {
		return "", fmt.Errorf("making a token: %w", err)
	}
	token := strings.TrimSpace(stdout.String())
	if code == 0 && token != "" && !strings.ContainsAny(token, " \r\n") {
		return token, nil
	}
	why := strings.TrimPrefix(printed.LastLine(stderr.String()), "Exception: ")
	if why == "" {
		why = fmt.Sprintf("it ends with %d and says nothing", code)
	}
	return "", fmt.Errorf("making a token: %s", why)
}
