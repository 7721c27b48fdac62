package modelinit

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/sidecar/initrecord"
	"github.com/inmanta/inmanta-docker/sidecar/modulesource"
)

// Config is all that the sidecar is told.
type Config struct {
	Repository modulesource.Repository
	Branch     string
	// Arguments are pytest's.
	Arguments []string
	// Token opens an https repository, and Key is a private key for one over ssh,
	// in PEM; empty for none.
	Token, Key string
	// KnownHosts are the host keys that are believed, as known_hosts has them.
	KnownHosts string
	// CABundle is a file of certificate authorities; empty for the image's own.
	CABundle string
	// API is where the orchestrator is, HOST:PORT, and Patience is how long it is
	// waited for.
	API      string
	Patience time.Duration
	// Environment is what everything that runs gets, as NAME=value.
	Environment []string
	Places      Places
	// Launcher starts a program as the user inmanta: it is followed by the
	// program's path and its arguments, argv[0] included. None runs it as it is.
	Launcher []string
	// Self is the path of this binary.
	Self string
}

// Places are where things are in the container.
type Places struct {
	// Folder is the volume of what a run leaves, and Cache that of downloads.
	Folder, Cache string
	// State is the orchestrator's state volume.
	State string
	// Home is the orchestrator's installation, a virtual environment.
	Home string
	// Secrets has the token, the key and the host keys.
	Secrets string
	// CABundle is where a file of certificate authorities may be mounted.
	CABundle string
	// Offline is where a folder may be mounted with all that would be downloaded.
	Offline string
}

// InContainer are the places in the container.
var InContainer = Places{
	Folder: initrecord.Folder, Cache: "/var/cache/inmanta-init", State: "/var/lib/inmanta", Home: "/opt/inmanta",
	Secrets: "/run/secrets", CABundle: "/etc/inmanta-sidecar/ca-bundle.pem", Offline: "/srv/inmanta-offline",
}

// What the sidecar is told by, and what it takes where nothing is said.
const (
	urlVariable       = "INMANTA_MODULE_REPO_URL"
	branchVariable    = "INMANTA_MODULE_REPO_BRANCH"
	argumentsVariable = "INMANTA_PYTEST_ARGUMENTS"
	patienceVariable  = "INMANTA_INIT_PATIENCE"
	hostVariable      = "INMANTA_LSM_HOST"
	portVariable      = "INMANTA_LSM_SRV_PORT"

	tokenFile      = "inmanta-module-repo-token"
	keyFile        = "inmanta-module-repo-ssh-key"
	knownHostsFile = "inmanta-module-repo-known-hosts"

	// defaultPatience allows for an orchestrator that changes its database's
	// tables first.
	defaultPatience = 10 * time.Minute
)

// FromEnvironment is the configuration in the container, and all that is wrong
// with it. Some of what it reads is root's alone.
func FromEnvironment(environ []string, places Places) (Config, error) {
	var problems problem.List
	add := func(where string, err error) {
		for _, p := range problem.In(err) {
			p.Where = where
			problems = append(problems, p)
		}
	}
	c := Config{Places: places, Branch: value(environ, branchVariable, "master"), Patience: defaultPatience}
	var err error
	c.Repository, err = modulesource.ParseURL(value(environ, urlVariable, ""))
	add(urlVariable, err)
	add(branchVariable, modulesource.CheckBranch(c.Branch))
	c.Arguments, err = modulesource.Arguments(value(environ, argumentsVariable, "tests"))
	add(argumentsVariable, err)
	c.API = net.JoinHostPort(value(environ, hostVariable, "server"), value(environ, portVariable, "8888"))
	if text := value(environ, patienceVariable, ""); text != "" {
		if c.Patience, err = time.ParseDuration(text); err != nil || c.Patience <= 0 {
			add(patienceVariable, problem.Problem{ID: "patience", What: fmt.Sprintf("%q is no time to wait", text), Fix: "write one such as 90s or 10m"})
		}
	}
	for name, into := range map[string]*string{tokenFile: &c.Token, keyFile: &c.Key, knownHostsFile: &c.KnownHosts} {
		text, err := os.ReadFile(filepath.Join(places.Secrets, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			add(name, problem.Problem{ID: "secret-unreadable", What: fmt.Sprintf("it cannot be read: %v", err), Fix: "give the container the configs of docker-compose.init.yml"})
		}
		*into = strings.TrimSpace(string(text))
	}
	if c.Key != "" {
		c.Key += "\n" // which OpenSSH's form ends with
		add("INMANTA_MODULE_REPO_SSH_KEY", modulesource.CheckKey(c.Key))
	}
	if strings.ContainsFunc(c.Token, func(r rune) bool { return r < ' ' }) {
		add("INMANTA_MODULE_REPO_TOKEN", problem.Problem{ID: "token", What: "the token has more than one line", Fix: "write the token alone"})
	}
	if err := readableFile(places.CABundle); err == nil {
		c.CABundle = places.CABundle
	} else if !errors.Is(err, fs.ErrNotExist) {
		add("INMANTA_CA_BUNDLE", problem.Problem{ID: "ca-bundle", What: err.Error(), Fix: "name a file in PEM that everybody may read"})
	}
	if isFolder(places.Offline) && !isFolder(c.wheels()) {
		add("INMANTA_OFFLINE_FOLDER", problem.Problem{
			ID: "no-wheels", What: "the folder that takes the network's place has no folder wheels that the user inmanta may read",
			Fix: "fill one with what the module needs: pip download --dest wheels -r requirements.dev.txt . setuptools wheel",
		})
	}
	c.Environment = c.environment(environ)
	return c, problems.OrNil()
}

// value is a variable's, or the one that stands for it while it is empty.
func value(environ []string, name, otherwise string) string {
	for _, variable := range environ {
		if v, ok := strings.CutPrefix(variable, name+"="); ok && v != "" {
			otherwise = v
		}
	}
	return otherwise
}

// readableFile says whether everybody may read a file that holds something.
// What is mounted where nothing was asked for is /dev/null, which is no file.
func readableFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Size() == 0:
		return fs.ErrNotExist
	case info.Mode().Perm()&0o004 == 0:
		return fmt.Errorf("the file of certificate authorities may not be read by everybody (mode %04o)", info.Mode().Perm())
	}
	return nil
}

// environment is what everything that runs gets: the container's own, and what
// follows from it.
func (c Config) environment(environ []string) []string {
	made := variables{}
	for _, variable := range environ {
		name, v, _ := strings.Cut(variable, "=")
		// What is empty was not set: Compose cannot leave a variable out.
		if v != "" {
			made[name] = v
		}
	}
	delete(made, patienceVariable)
	host, port, _ := net.SplitHostPort(c.API)
	for _, client := range []string{"CLIENT", "CMDLINE", "COMPILER"} {
		made.otherwise("INMANTA_"+client+"_REST_TRANSPORT_HOST", host)
		made.otherwise("INMANTA_"+client+"_REST_TRANSPORT_PORT", port)
	}
	// curl, and so git, reads the small ones only; what runs here is not to go
	// through a proxy to the orchestrator.
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		if v, ok := made[name]; ok {
			made.otherwise(strings.ToLower(name), v)
		}
	}
	if made["http_proxy"]+made["https_proxy"] != "" {
		direct := strings.Trim(made["NO_PROXY"]+","+strings.Join([]string{host, "localhost", "127.0.0.1"}, ","), ",")
		made["NO_PROXY"], made["no_proxy"] = direct, direct
	}
	if c.CABundle != "" {
		for _, name := range []string{"PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO"} {
			made[name] = c.CABundle
		}
	}
	if wheels := c.wheels(); isFolder(c.Places.Offline) {
		made["PIP_NO_INDEX"], made["PIP_FIND_LINKS"] = "1", wheels
		made["UV_OFFLINE"], made["UV_FIND_LINKS"] = "1", wheels
	}
	made["PIP_CACHE_DIR"], made["UV_CACHE_DIR"] = filepath.Join(c.Places.Cache, "pip"), filepath.Join(c.Places.Cache, "uv")
	made["PIP_NO_INPUT"], made["PIP_DISABLE_PIP_VERSION_CHECK"], made["PIP_PROGRESS_BAR"] = "1", "1", "off"
	made["NO_COLOR"], made["PYTHONUNBUFFERED"], made["PYTHONDONTWRITEBYTECODE"] = "1", "1", "1"
	// A home of its own keeps caches and histories off the orchestrator's volume.
	made["HOME"] = filepath.Join(c.work(), "home")
	made["INMANTA_PIP_USE_SYSTEM_CONFIG"] = "true"
	c.remote(made)
	return made.list()
}

// wheels is where packages are without a network.
func (c Config) wheels() string { return filepath.Join(c.Places.Offline, "wheels") }

// work is the folder of the run itself: nothing in it is kept for the next one.
func (c Config) work() string { return filepath.Join(c.Places.Folder, "work") }

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// variables are an environment in the making.
type variables map[string]string

// otherwise sets a variable that has no value.
func (v variables) otherwise(name, value string) {
	if v[name] == "" {
		v[name] = value
	}
}

func (v variables) list() []string {
	var list []string
	for name, value := range v {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}
