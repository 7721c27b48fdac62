package host

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Daemon is where one dockerd keeps what matters to starting it again.
type Daemon struct {
	// Config is its configuration file; it need not exist.
	Config string
	// PidFile holds the id of the running dockerd.
	PidFile string
	// ExecRoot is the directory of its run-time state; the containerd it
	// starts for itself keeps its own in ExecRoot/containerd.
	ExecRoot string
	// Hosts are the addresses the configuration makes it listen on; none
	// means DefaultSocket.
	Hosts []string
	// Containerd is the socket of the containerd the configuration names;
	// empty where dockerd takes SystemContainerd if that file exists, and
	// else starts one of its own.
	Containerd string
	// SystemContainerd is the socket of a containerd that runs by itself.
	SystemContainerd string
	// Log is the file a dockerd started without systemd writes to.
	Log string
}

// Installed is the machine's own dockerd: the paths it has by default, and
// those /etc/docker/daemon.json changes.
func Installed() Daemon {
	return DaemonOf("/etc/docker/daemon.json", "/var/log/dockerd.log")
}

// DaemonOf is the dockerd of one configuration file, which writes to the given
// log. A file that cannot be read or understood changes nothing here: dockerd
// itself refuses to start with it, and says why.
func DaemonOf(config, log string) Daemon {
	text, _ := os.ReadFile(config)
	daemon := parseDaemon(text)
	daemon.Config, daemon.Log = config, log
	return daemon
}

// parseDaemon reads what of daemon.json moves a path of Daemon.
func parseDaemon(text []byte) Daemon {
	daemon := Daemon{
		PidFile: "/var/run/docker.pid", ExecRoot: "/var/run/docker",
		SystemContainerd: "/run/containerd/containerd.sock",
	}
	var config struct {
		PidFile    string   `json:"pidfile"`
		ExecRoot   string   `json:"exec-root"`
		Hosts      []string `json:"hosts"`
		Containerd string   `json:"containerd"`
	}
	if json.Unmarshal(text, &config) != nil {
		return daemon
	}
	if config.PidFile != "" {
		daemon.PidFile = config.PidFile
	}
	if config.ExecRoot != "" {
		daemon.ExecRoot = config.ExecRoot
	}
	daemon.Hosts, daemon.Containerd = config.Hosts, config.Containerd
	return daemon
}

// ContainerdPidFile holds the id of the containerd dockerd started for itself.
func (d Daemon) ContainerdPidFile() string {
	return filepath.Join(d.ExecRoot, "containerd", "containerd.pid")
}

// containerdConfig is the file dockerd writes for its own containerd and names
// on that one's command line: what tells it from any other containerd.
func (d Daemon) containerdConfig() string {
	return filepath.Join(d.ExecRoot, "containerd", "containerd.toml")
}

// serves is whether the daemon, once started, is the one behind the endpoint.
func (d Daemon) serves(endpoint Endpoint) bool {
	path := endpoint.Socket()
	if path == "" {
		return false
	}
	if len(d.Hosts) == 0 {
		return samePath(path, strings.TrimPrefix(DefaultSocket, "unix://"))
	}
	return slices.ContainsFunc(d.Hosts, func(host string) bool {
		socket, ok := strings.CutPrefix(host, "unix://")
		return ok && samePath(path, socket)
	})
}

// samePath is whether two paths are the same once /var/run is read as /run,
// which it links to.
func samePath(a, b string) bool {
	return run(a) == run(b)
}

func run(path string) string {
	path = filepath.Clean(path)
	if rest, ok := strings.CutPrefix(path, "/var/run/"); ok {
		return "/run/" + rest
	}
	return path
}
