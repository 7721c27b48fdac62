package image

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// surroundings are what a build needs of the host it is started on to get
// through to package registries. Nothing of it stays in the image.
type surroundings struct {
	// Certificates is the host's bundle of certificate authorities, in PEM:
	// behind a proxy that looks inside TLS, no registry is trusted without its
	// own. Empty where the host has none.
	Certificates []byte
	// Environment holds the variables a build's programs read: proxies, and the
	// Python index where one is set.
	Environment map[string]string
	// PipConfig is the file PIP_CONFIG_FILE names, if that is set.
	PipConfig []byte
	// AptProxy is what the host's apt goes through, if it has been told so.
	AptProxy string
	// Mirror and Security are the Debian archives the host's apt uses.
	Mirror, Security string
}

// Debian's own archives.
const (
	debianMirror   = "http://deb.debian.org/debian"
	debianSecurity = "http://deb.debian.org/debian-security"
	release        = "trixie"
)

// inherited are the variables of the host's environment that a build gets.
var inherited = []string{
	"http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
	"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST",
}

// bundles is where distributions keep their certificate authorities.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/cert.pem",
}

// lookAround reads the surroundings of this process.
func lookAround(ctx context.Context) (surroundings, error) {
	var s surroundings
	s.Environment = map[string]string{}
	for _, name := range inherited {
		if value, set := os.LookupEnv(name); set {
			s.Environment[name] = value
		}
	}
	if file := os.Getenv("PIP_CONFIG_FILE"); file != "" && file != os.DevNull {
		content, err := os.ReadFile(file)
		if err != nil {
			return s, fmt.Errorf("reading the file PIP_CONFIG_FILE names: %w", err)
		}
		s.PipConfig = content
	}
	files := bundles
	if file := os.Getenv("SSL_CERT_FILE"); file != "" {
		files = append([]string{file}, bundles...)
	}
	for _, file := range files {
		if content, err := os.ReadFile(file); err == nil {
			s.Certificates = content
			break
		}
	}
	if answer, err := exec.CommandContext(ctx, "apt-config", "shell", "proxy", "Acquire::http::Proxy").Output(); err == nil {
		s.AptProxy = aptProxy(string(answer))
	}
	mirrors, securities := candidates(hostSources())
	s.Mirror = serving(ctx, mirrors, release, debianMirror)
	s.Security = serving(ctx, securities, release+"-security", debianSecurity)
	return s, nil
}

// aptProxy reads the answer of `apt-config shell proxy Acquire::http::Proxy`:
// "proxy='http://10.0.0.1:3142/'".
func aptProxy(answer string) string {
	value, is := strings.CutPrefix(strings.TrimSpace(answer), "proxy=")
	value = strings.Trim(value, "'")
	if !is || !isHTTP(value) || strings.ContainsAny(value, "'\"\n\\") {
		return ""
	}
	return value
}

// hostSources is everything the host's apt is told of archives.
func hostSources() string {
	files, _ := filepath.Glob("/etc/apt/sources.list.d/*")
	var all bytes.Buffer
	for _, file := range append([]string{"/etc/apt/sources.list"}, files...) {
		if !slices.Contains([]string{".list", ".sources"}, filepath.Ext(file)) {
			continue
		}
		if content, err := os.ReadFile(file); err == nil {
			all.Write(content)
			all.WriteString("\n\n")
		}
	}
	return all.String()
}

// candidates are the addresses in apt's sources, in either of apt's two forms,
// that may be mirrors of Debian's two archives. Other archives end alike
// (download.docker.com/linux/debian), so they still have to be asked.
func candidates(sources string) (mirrors, securities []string) {
	for address := range strings.FieldsSeq(sources) {
		address = strings.TrimRight(address, "/")
		switch {
		case !isHTTP(address), strings.ContainsAny(address, "'\"\\"):
		case strings.HasSuffix(address, "/debian") && !slices.Contains(mirrors, address):
			mirrors = append(mirrors, address)
		case strings.HasSuffix(address, "/debian-security") && !slices.Contains(securities, address):
			securities = append(securities, address)
		}
	}
	return mirrors, securities
}

func isHTTP(address string) bool {
	return strings.HasPrefix(address, "http://") || strings.HasPrefix(address, "https://")
}

// mirrorPatience is how long a mirror may take to show that it has the release.
const mirrorPatience = 5 * time.Second

// serving is the first of the archives that has Debian's suite, or Debian's own.
func serving(ctx context.Context, archives []string, suite, own string) string {
	for _, archive := range archives {
		if archive == own || has(ctx, archive, suite) {
			return archive
		}
	}
	return own
}

// has says whether an archive has a suite of Debian.
func has(ctx context.Context, archive, suite string) bool {
	ctx, cancel := context.WithTimeout(ctx, mirrorPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, archive+"/dists/"+suite+"/InRelease", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	head, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
	return response.StatusCode == http.StatusOK && bytes.Contains(head, []byte("\nOrigin: Debian\n"))
}

// files are the surroundings as the scripts of a recipe expect them in /build.
func (s surroundings) files() map[string][]byte {
	files := map[string][]byte{}
	environment := map[string]string{}
	maps.Copy(environment, s.Environment)
	apt := "Acquire::Retries \"3\";\n"
	if s.AptProxy != "" {
		apt += fmt.Sprintf("Acquire::http::Proxy %q;\n", s.AptProxy)
	}
	if len(s.Certificates) > 0 {
		files["certificates.pem"] = s.Certificates
		environment["PIP_CERT"] = "/build/certificates.pem"
		apt += "Acquire::https::CAInfo \"/build/certificates.pem\";\n"
	}
	if s.PipConfig != nil {
		files["pip.conf"] = s.PipConfig
		environment["PIP_CONFIG_FILE"] = "/build/pip.conf"
	}
	files["apt.conf"] = []byte(apt)
	files["environment"] = exports(environment)

	public, err := recipeFiles.ReadFile("recipe/base/debian.org.sources")
	if err != nil {
		panic(err) // embedded: a mistake in this package
	}
	sources := strings.ReplaceAll(string(public), "URIs: "+debianSecurity+"\n", "URIs: "+s.Security+"\n")
	sources = strings.ReplaceAll(sources, "URIs: "+debianMirror+"\n", "URIs: "+s.Mirror+"\n")
	files["debian.sources"] = []byte(sources)
	return files
}

// exports are variables as a shell reads them from a file.
func exports(environment map[string]string) []byte {
	var lines []string
	for name, value := range environment {
		lines = append(lines, "export "+name+"='"+strings.ReplaceAll(value, "'", `'\''`)+"'\n")
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, ""))
}
