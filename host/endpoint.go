package host

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/inmanta/inmanta-docker/problem"
)

// DefaultSocket is where an engine listens that nobody configured.
const DefaultSocket = "unix:///var/run/docker.sock"

// Endpoint is where the Docker tools look for their engine.
type Endpoint struct {
	// Host is the address: "unix:///var/run/docker.sock", "tcp://build:2376".
	Host string
	// From says who chose it: "DOCKER_HOST", "the Docker context \"build\"";
	// empty when nobody did and Host is DefaultSocket.
	From string
	// Certificates is the directory of ca.pem, cert.pem and key.pem; empty
	// where the address is spoken to without TLS.
	Certificates string
	// SkipVerify takes any certificate of the engine's.
	SkipVerify bool
}

// Socket is the path of the endpoint's unix socket; empty for any other kind.
func (e Endpoint) Socket() string {
	path, ok := strings.CutPrefix(e.Host, "unix://")
	if !ok {
		return ""
	}
	return path
}

// String names the endpoint and who chose it.
func (e Endpoint) String() string {
	if e.From == "" {
		return e.Host
	}
	return e.Host + " (" + e.From + ")"
}

// tls is how to speak TLS with the endpoint: nil where it is spoken to in the clear.
func (e Endpoint) tls() (*tls.Config, error) {
	if e.Certificates == "" {
		return nil, nil
	}
	config := &tls.Config{InsecureSkipVerify: e.SkipVerify}
	ca, err := os.ReadFile(filepath.Join(e.Certificates, "ca.pem"))
	switch {
	case err == nil:
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("reading %s: no certificate in it", filepath.Join(e.Certificates, "ca.pem"))
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(e.Certificates, "cert.pem"), filepath.Join(e.Certificates, "key.pem"))
	switch {
	case err == nil:
		config.Certificates = []tls.Certificate{pair}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return config, nil
}

// ChosenEndpoint is the endpoint the Docker tools would use, by their own
// rules: DOCKER_HOST, else DOCKER_CONTEXT, else the current context of
// config.json in DOCKER_CONFIG (default ~/.docker), else DefaultSocket. A
// context that is chosen and cannot be read is a problem, never a silent
// fall back to another engine.
func ChosenEndpoint(getenv func(string) string) (Endpoint, error) {
	directory := getenv("DOCKER_CONFIG")
	if directory == "" {
		directory = filepath.Join(getenv("HOME"), ".docker")
	}
	if host := getenv("DOCKER_HOST"); host != "" {
		return fromHost(host, directory, getenv), nil
	}
	name, from := getenv("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
	if name == "" {
		var err error
		from = filepath.Join(directory, "config.json")
		if name, err = currentContext(from); err != nil {
			return Endpoint{}, err
		}
	}
	if name == "" || name == "default" {
		return Endpoint{Host: DefaultSocket}, nil
	}
	return fromContext(name, from, directory)
}

// fromHost is the endpoint DOCKER_HOST names, with the TLS settings beside it.
func fromHost(host, directory string, getenv func(string) string) Endpoint {
	if !strings.Contains(host, "://") {
		host = "tcp://" + host
	}
	endpoint := Endpoint{Host: host, From: "DOCKER_HOST"}
	verify := getenv("DOCKER_TLS_VERIFY") != ""
	if strings.HasPrefix(host, "tcp://") && (verify || getenv("DOCKER_TLS") != "") {
		endpoint.Certificates, endpoint.SkipVerify = getenv("DOCKER_CERT_PATH"), !verify
		if endpoint.Certificates == "" {
			endpoint.Certificates = directory
		}
	}
	return endpoint
}

// currentContext is the context config.json selects: empty when it selects none.
func currentContext(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var config struct {
		CurrentContext string `json:"currentContext"`
	}
	if err == nil {
		err = json.Unmarshal(text, &config)
	}
	if err != nil {
		return "", problem.Problem{
			ID: "docker-config", Where: path, Err: err,
			What: fmt.Sprintf("the Docker configuration that may select an engine cannot be read: %v", err),
			Fix:  "mend or remove the file, or set DOCKER_HOST to the engine to use",
		}
	}
	return config.CurrentContext, nil
}

// fromContext is the endpoint of a stored Docker context.
func fromContext(name, from, directory string) (Endpoint, error) {
	sum := sha256.Sum256([]byte(name))
	id := hex.EncodeToString(sum[:])
	path := filepath.Join(directory, "contexts", "meta", id, "meta.json")
	var meta struct {
		Endpoints map[string]struct {
			Host          string
			SkipTLSVerify bool
		}
	}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &meta)
	}
	engine := meta.Endpoints["docker"]
	if err == nil && engine.Host == "" {
		err = errors.New("it names no engine")
	}
	if err != nil {
		return Endpoint{}, problem.Problem{
			ID: "docker-context", Where: from, Err: err,
			What: fmt.Sprintf("it selects the Docker context %q, which cannot be used: %v", name, err),
			Fix:  "choose another with `docker context use NAME`, or set DOCKER_HOST to the engine to use",
		}
	}
	endpoint := Endpoint{
		Host: engine.Host, SkipVerify: engine.SkipTLSVerify,
		From: fmt.Sprintf("the Docker context %q, selected by %s", name, from),
	}
	certificates := filepath.Join(directory, "contexts", "tls", id, "docker")
	if _, err := os.Stat(certificates); err == nil {
		endpoint.Certificates = certificates
	} else if engine.SkipTLSVerify && strings.HasPrefix(engine.Host, "tcp://") {
		endpoint.Certificates = directory
	}
	return endpoint, nil
}
