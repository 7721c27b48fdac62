package preflight

import "testing"

func TestCode(t *testing.T) {
	const (
		overlay  = "docker-compose.code.yml"
		password = "INMANTA_CODE_SERVER_PASSWORD=open-sesame\n"
		open     = "INMANTA_CODE_SERVER_LOGIN=none\n"
	)
	for name, c := range map[string]struct {
		env                string
		problems, warnings []want
	}{
		"a password":             {env: password},
		"everywhere":             {env: password + "INMANTA_CODE_SERVER_IP=0.0.0.0\n"},
		"no password":            {warnings: []want{{"code-password-missing", "INMANTA_CODE_SERVER_PASSWORD", "makes one up", "docker exec inmanta-code-sidecar inmanta-sidecar code password"}}},
		"open":                   {env: open},
		"open, on IPv6":          {env: open + "INMANTA_CODE_SERVER_IP=::1\n"},
		"open, everywhere":       {env: open + "INMANTA_CODE_SERVER_IP=0.0.0.0\n", problems: []want{{"code-open", ".env:2", "0.0.0.0 is reached from other machines", "INMANTA_CODE_SERVER_IP=127.0.0.1"}}},
		"open, on a network":     {env: open + "INMANTA_CODE_SERVER_IP=10.0.0.8\n", problems: []want{{"code-open", ".env:2", "10.0.0.8", "leave INMANTA_CODE_SERVER_LOGIN out"}}},
		"a certificate":          {env: password + "INMANTA_CODE_SERVER_CERTIFICATE=./c.pem\nINMANTA_CODE_SERVER_KEY=./k.pem\n"},
		"a certificate, no key":  {env: password + "INMANTA_CODE_SERVER_CERTIFICATE=./c.pem\n", problems: []want{{"code-certificate", "INMANTA_CODE_SERVER_CERTIFICATE", "INMANTA_CODE_SERVER_KEY is not", "set INMANTA_CODE_SERVER_KEY too"}}},
		"a key, no certificate":  {env: password + "INMANTA_CODE_SERVER_KEY=./k.pem\n", problems: []want{{"code-certificate", "INMANTA_CODE_SERVER_KEY", "INMANTA_CODE_SERVER_CERTIFICATE is not", ""}}},
		"too short, and no word": {env: "INMANTA_CODE_SERVER_PASSWORD=short\nINMANTA_CODE_SERVER_LOGIN=never\n", problems: []want{{"setting-invalid", ".env:1", "fewer than 8", ""}, {"setting-invalid", ".env:2", "neither password nor none", ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t).with(overlay).write(map[string]string{".env": c.env})
			l.checked(c.problems, c.warnings)
		})
	}
}
