package ssh

import (
	"slices"
	"strings"
	"testing"
)

func TestSessionEnvironment(t *testing.T) {
	t.Parallel()
	account := Account{Name: "inmanta", Home: "/var/lib/inmanta", Shell: "/bin/bash"}
	kept := []string{
		"INMANTA_CLIENT_REST_TRANSPORT_HOST=server", "INMANTA_EMPTY=", "INMANTA_EQUALS=a=b", "PIP_INDEX_URL=https://example.com", "LANG=C.UTF-8",
		"LC_ALL=C", "TZ=UTC", "http_proxy=http://p", "HTTPS_PROXY=http://p", "No_Proxy=x", "SSL_CERT_FILE=/x", "REQUESTS_CA_BUNDLE=/x",
		"PATH=/opt/inmanta/bin:/usr/bin", "INMANTA_NEW_LINE=a\nb",
	}
	withheld := []string{
		"INMANTA_AUTHORIZED_KEYS=ssh-ed25519 AAAA", "inmanta_authorized_keys=x", "INMANTA_DB_PASSWORD=x", "INMANTA_DATABASE_PASSWORD=x",
		"INMANTA_API_TOKEN=x", "INMANTA_CLIENT_SECRET=x", "INMANTA_PRIVATE_KEY=x", "INMANTA_SERVER_TOKENS=x", "INMANTA_DB_PASSWD=x", "INMANTA_PASSPHRASE=x",
		"INMANTA_CREDENTIALS=x", "LD_PRELOAD=/x.so", "BASH_ENV=/x", "ENV=/x", "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/x", "HOSTNAME=x",
		"SSH_AUTH_SOCK=/x", "XINMANTA_A=x", "INMANTA-A=x", "GODEBUG=x", "no equals sign", "", "=x",
	}
	got := sessionEnvironment(append(slices.Clone(kept), withheld...), account)
	want := append(slices.Clone(kept), "HOME=/var/lib/inmanta", "USER=inmanta", "LOGNAME=inmanta", "SHELL=/bin/bash")
	if !slices.Equal(got, want) {
		for _, variable := range got {
			if !slices.Contains(want, variable) {
				t.Errorf("a session gets %s", variable)
			}
		}
		for _, variable := range want {
			if !slices.Contains(got, variable) {
				t.Errorf("no session gets %s", variable)
			}
		}
	}
	if got := sessionEnvironment(nil, account); !slices.Contains(got, "PATH=/usr/local/bin:/usr/bin:/bin") {
		t.Errorf("without a PATH it is %s", got)
	}
}

func TestLastOfANameCounts(t *testing.T) {
	t.Parallel()
	got := with([]string{"A=1", "B=1", "A=2"}, "B=2", "C=1", "B=3")
	if want := []string{"A=2", "C=1", "B=3"}; !slices.Equal(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzAcceptable(f *testing.F) {
	f.Add("LANG", "C.UTF-8")
	f.Add("LC_\x00", "x")
	f.Add("TZ", ":/etc/passwd")
	f.Add("LD_PRELOAD", "/x.so")
	f.Fuzz(func(t *testing.T, name, value string) {
		if !acceptable(name, value) {
			return
		}
		if strings.ContainsAny(name, "=\x00\n") || strings.ContainsRune(value, 0) || len(value) > longestVariable {
			t.Errorf("%q=%q", name, value)
		}
		for _, never := range []string{"LD_", "BASH", "PYTHON", "INMANTA", "PATH", "SSH_", "IFS", "ENV"} {
			if strings.HasPrefix(name, never) {
				t.Errorf("%q=%q", name, value)
			}
		}
	})
}
