package orchestrator

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// interpreter answers what a container's Python says.
type interpreter struct {
	stdout, stderr string
	code           int
	err            error
	read           string
}

func (i *interpreter) Feed(_ context.Context, _, _ string, _ []string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	program, err := io.ReadAll(stdin)
	i.read = string(program)
	_, _ = io.WriteString(stdout, i.stdout)
	_, _ = io.WriteString(stderr, i.stderr)
	return i.code, errors.Join(err, i.err)
}

func TestToken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		is   interpreter
		want string // the token, or what the error says
		ok   bool
	}{
		"signed":                {interpreter{stdout: "abc.def.ghi\n"}, "abc.def.ghi", true},
		"no key":                {interpreter{code: 1, stderr: "Traceback\n  File\nException: No JWT signing configuration available.\n"}, "No JWT signing configuration available.", false},
		"no Python":             {interpreter{code: 127}, "ends with 127", false},
		"nothing":               {interpreter{stderr: ""}, "says nothing", false},
		"something else":        {interpreter{stdout: "Token: abc def"}, "says nothing", false},
		"a warning beside it":   {interpreter{stdout: "abc", stderr: "DeprecationWarning"}, "abc", true},
		"the engine is gone":    {interpreter{err: errors.New("no engine")}, "no engine", false},
		"a line too many of it": {interpreter{stdout: "abc\ndef"}, "says nothing", false},
	} {
		got, err := Token(t.Context(), &c.is, "x")
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) || (err == nil) != c.ok || !strings.Contains(c.is.read, "encode_token") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestClientThatIsLoggedIn(t *testing.T) {
	t.Parallel()
	status := recorded(t, "serverstatus.json")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("Authorization") != "Bearer abc" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = w.Write(status)
	}))
	defer server.Close()
	stranger := New(server.URL, nil)
	if _, err := stranger.Status(t.Context()); !errors.Is(err, ErrLogin) {
		t.Errorf("without a token: %v", err)
	}
	if answer, err := stranger.With("abc").Status(t.Context()); err != nil || answer.Version == "" {
		t.Errorf("with one: %+v, %v", answer, err)
	}
	if _, err := stranger.Status(t.Context()); !errors.Is(err, ErrLogin) {
		t.Errorf("the first one is let in, too: %v", err)
	}
}
