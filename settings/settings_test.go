package settings

import (
	"slices"
	"strings"
	"testing"
)

func TestChecks(t *testing.T) {
	good := map[string][]string{
		OrchestratorImage: {"ghcr.io/inmanta/orchestrator:latest", "orchestrator", "localhost:5000/a/b@sha256:" + strings.Repeat("0", 64)},
		OrchestratorIP:    {"127.0.0.1", "0.0.0.0", "::", "[::1]", "10.0.0.8"},
		OrchestratorPort:  {"1", "8888", "65535"},
		PostgreSQLVersion: {"16", "17.2", "16-alpine", "17.2-bookworm"},
		DatabasePassword:  {"inmanta", "Pa$w%x;#1 \"'ü"},
		ReplicationSecret: {"inmanta", "Pa$w%x;#1 \"'ü"},
		DatabaseWhenAlone: {"wait", "degrade"},
		PeerHost:          {"10.0.0.2", "db2.example.com", "[fd00::2]", "second"},
		PeerSource:        {"10.0.0.2/32", "10.0.0.0/24", "fd00::/64"},
		NamePrefix:        {"inmanta", "lab_2", "a.b-c"},
		CodeServerSecret:  {"hunter22", "Pa$w%x;#1 \"'ü"},
		CodeServerLogin:   {"password", "none"},
		CodeServerNames:   {"code.example.com", "a, b-c.d", "LOCAL"},
		CodeServerSHA256:  {strings.Repeat("0a", 32), strings.Repeat("F", 64)},
		PipIndexURL:       {"https://pypi.example.com/simple", "http://127.0.0.1:8080/", "file:///srv/simple"},
		PipExtraIndexURL:  {"https://a/simple https://user@b/simple"},
		"UV_INDEX":        {"mine=https://a/simple https://b/?x=y"},
		"HTTPS_PROXY":     {"http://user:secret@proxy:3128", "proxy:3128", "socks5://proxy"},
	}
	bad := map[string][]string{
		OrchestratorImage: {"Upper/Case", "a b", "image:", "https://ghcr.io/x"},
		OrchestratorIP:    {"localhost", "256.0.0.1", "1.2.3", "127.0.0.1:80"},
		OrchestratorPort:  {"0", "70000", "abc", "-1", "80-90", "8888/tcp", "+80", " 80", "99999999999999999999"},
		PostgreSQLVersion: {"latest", "0", "v16", "16;rm"},
		DatabasePassword:  {"two\nlines", " hunter22", "hunter22 ", "\x00"},
		ReplicationSecret: {"two\nlines", " hunter22"},
		DatabaseWhenAlone: {"Wait", "no", "false"},
		PeerHost:          {"10.0.0.2:5432", "fd00::2", "[fd00::2", "[10.0.0.2]", "[fd00::2]:5432", "a,b", "a b", "http://a"},
		PeerSource:        {"10.0.0.2", "all", "10.0.0.0/33", "samenet"},
		NamePrefix:        {"-x", "a/b", "a b", "ü"},
		CodeServerSecret:  {"hunter2", "two\nlines", " hunter22", "üüüüüüü"},
		CodeServerLogin:   {"None", "no", "false", "token"},
		CodeServerNames:   {"https://code.example.com", "code:8080", "-a", "a..b", "*.example.com", "ü"},
		CodeServerSHA256:  {"sha256:" + strings.Repeat("0", 64), strings.Repeat("0", 63), strings.Repeat("g", 64)},
		PipIndexURL:       {"pypi.example.com", "ftp://a/simple", "https://user:hunter22@a/simple", "https:///x"},
		"HTTPS_PROXY":     {"http://", "::"},
	}
	for name, values := range good {
		s, _ := Find(name)
		for _, v := range values {
			if what, _ := s.Check(v); what != "" {
				t.Errorf("%s=%q is refused: %s", name, v, what)
			}
		}
	}
	for name, values := range bad {
		s, _ := Find(name)
		for _, v := range values {
			what, fix := s.Check(v)
			if what == "" || fix == "" {
				t.Errorf("%s=%q: what %q, fix %q", name, v, what, fix)
			}
			if s.Secret && strings.Contains(what+fix, v) {
				t.Errorf("%s: the message shows the secret: %s", name, what)
			}
		}
	}
}

func TestMeant(t *testing.T) {
	for name, want := range map[string]string{
		"INMANTA_ORCHESTRATOR_PROT":  OrchestratorPort,
		"INMANTA_ORCHESTRATR_IMAGE":  OrchestratorImage,
		"INMANTA_AUTHORISED_KEYS":    AuthorizedKeys,
		"POSTGRES_VERSION":           PostgreSQLVersion,
		"INMANTA_SSH_SIDECAR_PORTS":  SSHSidecarPort,
		"inmanta_orchestrator_port":  OrchestratorPort,
		"INMANTA_ORCHESTRATOR_PORT":  "", // it is one
		"HOME":                       "",
		"INMANTA_CLIENT_TOKEN":       "",
		"PATH":                       "",
		"POSTGRES_PASSWORD":          "",
		"INMANTA_SERVER_AUTH":        "",
		"COMPOSE_FILE":               "",
		"INMANTA_LSM_SRV_PORT":       "",
		"INMANTA_CONFIG_STATE_DIR":   "",
		"MY_COMPANY_INMANTA_ADDRESS": "",
	} {
		if got, ok := Meant(name); ok != (want != "") || ok && got != want {
			t.Errorf("Meant(%q) = %q, %v; want %q", name, got, ok, want)
		}
	}
}

func TestMajor(t *testing.T) {
	for version, want := range map[string]int{"16": 16, "17.2": 17, "16-alpine": 16, "": 0, "latest": 0} {
		if got := Major(version); got != want {
			t.Errorf("Major(%q) = %d, want %d", version, got, want)
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	var names []string
	for _, s := range All {
		if slices.Contains(names, s.Name) {
			t.Errorf("%s stands twice", s.Name)
		}
		names = append(names, s.Name)
		if s.Check != nil && s.Default != "" && !strings.Contains(s.Default, "${") {
			if what, _ := s.Check(s.Default); what != "" {
				t.Errorf("%s: its own default is refused: %s", s.Name, what)
			}
		}
	}
}
