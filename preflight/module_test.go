package preflight

import "testing"

func TestModule(t *testing.T) {
	const (
		overlay = "docker-compose.init.yml"
		url     = "INMANTA_MODULE_REPO_URL="
	)
	key := "'-----BEGIN OPENSSH PRIVATE KEY-----\nnonsense\n-----END OPENSSH PRIVATE KEY-----'\n"
	for name, c := range map[string]struct {
		env                string
		problems, warnings []want
	}{
		"none":     {problems: []want{{"module-missing", "INMANTA_MODULE_REPO_URL", "no module", "leave docker-compose.init.yml out"}}},
		"https":    {env: url + "https://git.example.com/hello\n"},
		"a folder": {env: url + "/srv/inmanta-offline/hello.git\n"},
		"a password": {
			env:      url + "https://me:hunter22@git.example.com/hello\n",
			problems: []want{{"module-url-secret", ".env:1", "docker inspect", "INMANTA_MODULE_REPO_TOKEN"}},
		},
		"all wrong": {
			env: url + "hello\nINMANTA_MODULE_REPO_BRANCH=--all\nINMANTA_PYTEST_ARGUMENTS=\"-k 'a\"\nINMANTA_MODULE_REPO_SSH_KEY=" + key,
			problems: []want{
				{"module-url", ".env:1", "neither a URL", ""}, {"module-branch", ".env:2", "dash", ""},
				{"pytest-arguments", ".env:3", "split", "quote"}, {"module-key", "INMANTA_MODULE_REPO_SSH_KEY", "cannot be read", "BEGIN"},
			},
		},
		"ssh to a stranger": {
			env:      url + "git@git.example.com:hello.git\n",
			warnings: []want{{"module-host-key", ".env:1", "git.example.com", "ssh-keyscan git.example.com"}},
		},
		"ssh to a known host": {env: url + "git@git.example.com:hello.git\nINMANTA_MODULE_REPO_KNOWN_HOSTS='git.example.com ssh-ed25519 AAAA'\n"},
		"a token in clear": {
			env:      url + "http://git.example.com/hello.git\nINMANTA_MODULE_REPO_TOKEN=hunter22\n",
			warnings: []want{{"module-token-in-clear", ".env:1", "in clear", "https"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t).with(overlay).write(map[string]string{".env": c.env})
			l.checked(c.problems, c.warnings)
		})
	}
}
