package host

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dockerFolder is a DOCKER_CONFIG folder with a configuration and contexts by name.
func dockerFolder(t *testing.T, config string, contexts map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	write := func(path, text string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if config != "" {
		write(filepath.Join(folder, "config.json"), config)
	}
	for name, meta := range contexts {
		sum := sha256.Sum256([]byte(name))
		id := hex.EncodeToString(sum[:])
		write(filepath.Join(folder, "contexts", "meta", id, "meta.json"), meta)
		if strings.Contains(meta, "tcp://") {
			write(filepath.Join(folder, "contexts", "tls", id, "docker", "ca.pem"), "")
		}
	}
	return folder
}

func TestChosenEndpoint(t *testing.T) {
	t.Parallel()
	contexts := map[string]string{
		"rootless": `{"Name": "rootless", "Endpoints": {"docker": {"Host": "unix:///run/user/1000/docker.sock"}}}`,
		"build":    `{"Name": "build", "Endpoints": {"docker": {"Host": "tcp://build:2376", "SkipTLSVerify": true}}}`,
		"empty":    `{"Name": "empty"}`,
		"broken":   `{`,
	}
	cases := []struct {
		name, config string
		environment  map[string]string
		host, from   string
		tls, insecure,
		wrong bool
	}{
		{name: "nobody chose", host: DefaultSocket},
		{name: "a configuration that chooses none", config: `{"auths": {}}`, host: DefaultSocket},
		{name: "the context default", config: `{"currentContext": "default"}`, host: DefaultSocket},
		{name: "DOCKER_HOST", environment: map[string]string{"DOCKER_HOST": "unix:///x.sock"}, host: "unix:///x.sock", from: "DOCKER_HOST"},
		{name: "DOCKER_HOST without a scheme", environment: map[string]string{"DOCKER_HOST": "build:2375"}, host: "tcp://build:2375", from: "DOCKER_HOST"},
		{name: "DOCKER_HOST wins", config: `{"currentContext": "build"}`, environment: map[string]string{"DOCKER_HOST": "unix:///x.sock", "DOCKER_CONTEXT": "rootless"}, host: "unix:///x.sock", from: "DOCKER_HOST"},
		{name: "DOCKER_HOST with TLS", environment: map[string]string{"DOCKER_HOST": "tcp://build:2376", "DOCKER_TLS_VERIFY": "1"}, host: "tcp://build:2376", from: "DOCKER_HOST", tls: true},
		{name: "DOCKER_HOST with any TLS", environment: map[string]string{"DOCKER_HOST": "tcp://build:2376", "DOCKER_TLS": "1"}, host: "tcp://build:2376", from: "DOCKER_HOST", tls: true, insecure: true},
		{name: "a socket has no TLS", environment: map[string]string{"DOCKER_HOST": "unix:///x.sock", "DOCKER_TLS_VERIFY": "1"}, host: "unix:///x.sock", from: "DOCKER_HOST"},
		{name: "DOCKER_CONTEXT", config: `{"currentContext": "build"}`, environment: map[string]string{"DOCKER_CONTEXT": "rootless"}, host: "unix:///run/user/1000/docker.sock", from: "rootless"},
		{name: "the current context", config: `{"currentContext": "build"}`, host: "tcp://build:2376", from: "config.json", tls: true, insecure: true},
		{name: "a context that is not there", environment: map[string]string{"DOCKER_CONTEXT": "nowhere"}, wrong: true},
		{name: "a context without an engine", environment: map[string]string{"DOCKER_CONTEXT": "empty"}, wrong: true},
		{name: "a broken context", environment: map[string]string{"DOCKER_CONTEXT": "broken"}, wrong: true},
		{name: "a broken configuration", config: `{"currentContext": 3}`, wrong: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			folder := dockerFolder(t, c.config, contexts)
			got, err := ChosenEndpoint(func(name string) string {
				if name == "DOCKER_CONFIG" {
					return folder
				}
				return c.environment[name]
			})
			if (err != nil) != c.wrong {
				t.Fatalf("the error is %v", err)
			}
			if c.wrong {
				wants(t, err, map[bool]string{true: "docker-config", false: "docker-context"}[c.config != ""], "", "DOCKER_HOST")
				return
			}
			if got.Host != c.host || !strings.Contains(got.From, c.from) || (got.Certificates != "") != c.tls || got.SkipVerify != c.insecure {
				t.Errorf("it is %+v", got)
			}
		})
	}
}

func FuzzContext(f *testing.F) {
	f.Add(`{"Endpoints": {"docker": {"Host": "unix:///x.sock"}}}`, `{"currentContext": "a"}`)
	f.Add(`[]`, `{}`)
	f.Fuzz(func(t *testing.T, meta, config string) {
		folder := dockerFolder(t, config, map[string]string{"a": meta})
		endpoint, err := ChosenEndpoint(func(name string) string {
			return map[string]string{"DOCKER_CONFIG": folder}[name]
		})
		if err == nil && endpoint.Host == "" {
			t.Errorf("%q and %q choose no engine, and no error", config, meta)
		}
	})
}
