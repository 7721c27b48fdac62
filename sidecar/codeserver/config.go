package codeserver

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Where things are in the container.
const (
	// releaseFolder is the volume that holds code-server.
	releaseFolder = "/usr/local/lib/code-server"
	// dataFolder is the volume that holds what is to stay: the user's home, and
	// the password that was made up where none is configured.
	dataFolder = "/var/lib/inmanta-code"
	// passwordFile is what the compose file hands over.
	passwordFile = "/run/secrets/inmanta-code-server-password"
	// runFolder holds the socket of code-server and what it is told.
	runFolder = "/run/inmanta-code"
	// certificateFile and keyFile are the user's, for https.
	certificateFile = "/etc/inmanta-sidecar/code/tls/certificate.pem"
	keyFile         = "/etc/inmanta-sidecar/code/tls/key.pem"
	// extensionsFolder holds .vsix files to install.
	extensionsFolder = "/etc/inmanta-sidecar/code/extensions"
	// environments is where the orchestrator keeps its environments' projects, once
	// it has started; it is looked for when somebody opens the editor.
	environments = stateFolder + "/server"
	// stateFolder is the orchestrator's state volume.
	stateFolder = "/var/lib/inmanta"
)

// address is where the container is reached.
const address = ":8080"

// The container's variables, each the setting of the same name.
const (
	loginVariable    = "INMANTA_CODE_SERVER_LOGIN"
	ipVariable       = "INMANTA_CODE_SERVER_IP"
	namesVariable    = "INMANTA_CODE_SERVER_NAMES"
	checksumVariable = "INMANTA_CODE_SERVER_SHA256"
)

// config is what the container's environment says.
type config struct {
	// open says that nobody needs to log in.
	open bool
	// names are those, besides addresses, by which browsers may call this host.
	names []string
	// checksum is the SHA-256 that the release's tarball must have had; "" takes any.
	checksum string
}

// configFrom reads the container's environment.
func configFrom(lookup func(string) string) (config, error) {
	c := config{names: splitNames(lookup(namesVariable)), checksum: strings.ToLower(strings.TrimSpace(lookup(checksumVariable)))}
	switch login := lookup(loginVariable); login {
	case "", "password":
	case "none":
		ip, err := netip.ParseAddr(strings.Trim(lookup(ipVariable), "[]"))
		if err != nil || !ip.Unmap().IsLoopback() {
			return c, fmt.Errorf("%s=none lets in whoever gets here, so it takes an address that only this machine has: set %s to 127.0.0.1, not %q, or leave %s out", loginVariable, ipVariable, lookup(ipVariable), loginVariable)
		}
		c.open = true
	default:
		return c, fmt.Errorf("%s is %q: write password, or none", loginVariable, login)
	}
	return c, nil
}

// splitNames reads names that are separated by commas or spaces.
func splitNames(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
}

// isGiven says that somebody put something there: where nothing is set, the
// compose file mounts /dev/null.
func isGiven(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&fs.ModeDevice == 0
}

// readTLS reads the user's certificate and key; nil where there is neither.
// warning says what is wrong with a certificate that is served all the same.
func readTLS(certificate, key string, now time.Time) (settings *tls.Config, warning string, err error) {
	switch certified, keyed := isGiven(certificate), isGiven(key); {
	case !certified && !keyed:
		return nil, "", nil
	case !certified:
		return nil, "", errors.New("there is a key for https and no certificate: set INMANTA_CODE_SERVER_CERTIFICATE to its file")
	case !keyed:
		return nil, "", errors.New("there is a certificate for https and no key: set INMANTA_CODE_SERVER_KEY to its file")
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, "", fmt.Errorf("reading the certificate for https in %s: %w", filepath.Dir(certificate), err)
	}
	switch {
	case now.After(pair.Leaf.NotAfter):
		warning = "the certificate has expired on " + pair.Leaf.NotAfter.Format(time.DateOnly)
	case now.Before(pair.Leaf.NotBefore):
		warning = "the certificate is not valid before " + pair.Leaf.NotBefore.Format(time.DateOnly)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
		// Websockets need it, and the rest of the editor is quick with it.
		NextProtos: []string{"http/1.1"},
	}, warning, nil
}
