package settings

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/distribution/reference"
)

func ip(value string) (what, fix string) {
	if _, err := netip.ParseAddr(strings.Trim(value, "[]")); err != nil {
		return fmt.Sprintf("%q is not an IP address", value),
			"write an address of this host, such as 127.0.0.1 (this host only) or 0.0.0.0 (every network)"
	}
	return "", ""
}

func port(value string) (what, fix string) {
	const fixed = "write one port number from 1 to 65535"
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil || strings.HasPrefix(value, "+") {
		return fmt.Sprintf("%q is not a port number", value), fixed
	}
	if n < 1 || n > 65535 {
		return fmt.Sprintf("port %s does not exist", value), fixed
	}
	return "", ""
}

func image(value string) (what, fix string) {
	if _, err := reference.ParseNormalizedNamed(value); err != nil {
		return fmt.Sprintf("%q is not an image name (%v)", value, err),
			"write a name such as ghcr.io/inmanta/orchestrator:latest"
	}
	return "", ""
}

var versionForm = regexp.MustCompile(`^([1-9][0-9]*)([.-][A-Za-z0-9_.-]*)?$`)

func postgreSQLVersion(value string) (what, fix string) {
	if !versionForm.MatchString(value) {
		return fmt.Sprintf("%q is not a PostgreSQL version", value),
			"write a major version such as 16, or a tag of the postgres image such as 16.4 or 16-alpine"
	}
	return "", ""
}

// Major is the major version in a POSTGRESQL_VERSION ("16", "16.4", "16-alpine"); 0 if there is none.
func Major(version string) int {
	m := versionForm.FindStringSubmatch(version)
	if m == nil {
		return 0
	}
	n, _ := strconv.Atoi(m[1])
	return n
}

// The engine's own rule for container names, which the prefix begins.
var nameForm = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

func namePrefix(value string) (what, fix string) {
	if !nameForm.MatchString(value) {
		return fmt.Sprintf("%q cannot begin a container's name", value),
			"write letters, digits, '_', '.' and '-', beginning with a letter or digit"
	}
	return "", ""
}

// The password is handed over as one line of a file, so it must be one, and
// survive having its ends trimmed.
func password(value string) (what, fix string) {
	const fixed = "use printable characters with no space at either end (inmanta-docker init generates a good one)"
	if strings.ContainsFunc(value, unicode.IsControl) {
		return "the password contains a line break or another control character", fixed
	}
	if strings.TrimSpace(value) != value {
		return "the password begins or ends with a space", fixed
	}
	return "", ""
}

// Degrade is the value of DatabaseWhenAlone with which commits do not wait for a
// database that is away.
const Degrade = "degrade"

func whenAlone(value string) (what, fix string) {
	if value != "wait" && value != Degrade {
		return fmt.Sprintf("%q is neither wait nor degrade", value), "write wait, unless losing what was acknowledged is acceptable"
	}
	return "", ""
}

// An IPv6 address needs its brackets: the orchestrator's client would take what
// follows the first colon for a port.
func peerHost(value string) (what, fix string) {
	inner, bracketed := strings.CutPrefix(value, "[")
	address, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
	switch {
	case bracketed && (err != nil || !address.Is6() || !strings.HasSuffix(value, "]")):
		return fmt.Sprintf("%q is not an IPv6 address", value), "write one such as [fd00::2]"
	case !bracketed && err == nil && address.Is6():
		return fmt.Sprintf("%q is an IPv6 address without brackets", value), "write [" + value + "]"
	case !bracketed && err != nil && !IsHostName(value):
		return fmt.Sprintf("%q is not the name of a host", value), "write its name or address alone: 10.0.0.2 (no port)"
	}
	return "", ""
}

func peerSource(value string) (what, fix string) {
	if _, err := netip.ParsePrefix(value); err != nil {
		return fmt.Sprintf("%q is not a network", value), "write an address and how many bits of it count, such as 10.0.0.2/32 or fd00::2/128"
	}
	return "", ""
}

// What stands in a URL ends up in `docker inspect`, so there is no room for a
// password: pip takes those of an index from a .netrc.
func indexURLs(value string) (what, fix string) {
	for word := range strings.FieldsSeq(value) {
		_, address, named := strings.Cut(word, "=") // uv's NAME=URL
		if !named || strings.Contains(word[:strings.Index(word, "=")], "/") {
			address = word
		}
		if what, fix := plainURL(address, "http", "https", "file"); what != "" {
			return what, fix
		}
	}
	return "", ""
}

func proxy(value string) (what, fix string) {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	parsed, err := url.Parse(value)
	if err != nil || parsed.Host == "" {
		return "the proxy is no URL", "write one such as http://proxy.example.com:3128"
	}
	return "", ""
}

func plainURL(value string, schemes ...string) (what, fix string) {
	parsed, err := url.Parse(value)
	if err != nil || !slices.Contains(schemes, parsed.Scheme) || parsed.Host == "" && parsed.Scheme != "file" {
		return "a package index is no URL", "write one such as https://pypi.example.com/simple"
	}
	if _, secret := parsed.User.Password(); secret {
		return "the URL of a package index holds a password, which `docker inspect` would show",
			"take it out of the URL, and mount a .netrc with it in an overlay of your own (docs/sidecars/init.md)"
	}
	return "", ""
}

// leastCodeServerPassword is in characters. What has a shell behind it is tried.
const leastCodeServerPassword = 8

func codeServerPassword(value string) (what, fix string) {
	if what, fix := password(value); what != "" {
		return what, fix
	}
	if utf8.RuneCountInString(value) < leastCodeServerPassword {
		return fmt.Sprintf("the password has fewer than %d characters", leastCodeServerPassword), "write a longer one (inmanta-docker init generates a good one)"
	}
	return "", ""
}

func codeServerLogin(value string) (what, fix string) {
	if value != "password" && value != "none" {
		return fmt.Sprintf("%q is neither password nor none", value), "write password; or none, which lets in everybody on this host"
	}
	return "", ""
}

var hostNameForm = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*$`)

// IsHostName says whether it can be the name of a host.
func IsHostName(value string) bool { return hostNameForm.MatchString(value) }

func hostNames(value string) (what, fix string) {
	for name := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		if !IsHostName(name) {
			return fmt.Sprintf("%q is not the name of a host", name), "write names alone, separated by commas: code.example.com (no http://, no port)"
		}
	}
	return "", ""
}

var sha256Form = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)

func sha256(value string) (what, fix string) {
	if !sha256Form.MatchString(value) {
		return fmt.Sprintf("%q is not a SHA-256 in hexadecimal", value), "write the 64 digits that sha256sum prints"
	}
	return "", ""
}
