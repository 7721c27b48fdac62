package passwd

import (
	"slices"
	"testing"
)

func TestEnvironment(t *testing.T) {
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
	got := account.Environment(append(slices.Clone(kept), withheld...))
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
	if got := account.Environment(nil); !slices.Contains(got, "PATH=/usr/local/bin:/usr/bin:/bin") {
		t.Errorf("without a PATH it is %s", got)
	}
}
