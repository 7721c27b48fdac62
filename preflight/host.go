package preflight

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/platforms"
	specs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/inmanta/inmanta-docker/sidecar/authorizedkeys"
	"github.com/inmanta/inmanta-docker/sidecar/logrotate/policy"
	"github.com/inmanta/inmanta-docker/topology"
)

// sameMachine says that an engine with a socket here also runs here. It does
// not when the socket leads into a virtual machine (as with desktop editions),
// or when this process is itself in a container.
func sameMachine(engineName, engineKernel string) bool {
	name, err := os.Hostname()
	if err != nil {
		return false
	}
	return name == engineName && kernel() == engineKernel
}

// kernel is the running kernel's release; "" where unknown.
func kernel() string {
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		return ""
	}
	var release []byte
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		release = append(release, byte(c))
	}
	return string(release)
}

// freeDisk measures the file system that dir is on; the zero Disk where it cannot.
func freeDisk(dir string) Disk {
	var fs syscall.Statfs_t
	if dir == "" || syscall.Statfs(dir, &fs) != nil {
		return Disk{}
	}
	return Disk{Dir: dir, Free: fs.Bavail * uint64(fs.Bsize)}
}

// platform is an operating system and a machine in the common form,
// "linux/amd64". Variants of a processor are left out: the engine does not say
// which it has.
func platform(system, machine string) string {
	p := platforms.Normalize(specs.Platform{OS: system, Architecture: machine})
	p.Variant = ""
	return platforms.Format(p)
}

// probe finds out what stands in the way of each endpoint, by asking the kernel
// for it without listening.
func probe(endpoints []Endpoint) map[Endpoint]Socket {
	blocked := map[Endpoint]Socket{}
	for _, e := range endpoints {
		err := bind(e)
		switch {
		case errors.Is(err, syscall.EADDRNOTAVAIL) && !e.IP.IsUnspecified():
			blocked[e] = Socket{NotHere: true}
		case errors.Is(err, syscall.EADDRINUSE):
			found, _ := findSocket(e)
			blocked[e] = found
		case errors.Is(err, syscall.EACCES):
			// A port below 1024, which the engine may have and this user may not.
			if found, ok := findSocket(e); ok {
				blocked[e] = found
			}
		}
	}
	return blocked
}

// bind takes an endpoint as the engine would and lets go of it. It never
// listens, so nobody can connect meanwhile.
func bind(e Endpoint) error {
	kind := syscall.SOCK_STREAM
	switch e.Protocol {
	case tcp:
	case udp:
		kind = syscall.SOCK_DGRAM
	default:
		return nil // sctp: let the engine find out
	}
	family := syscall.AF_INET6
	address := syscall.Sockaddr(&syscall.SockaddrInet6{Port: int(e.Port), Addr: e.IP.As16()})
	if e.IP.Is4() {
		family = syscall.AF_INET
		address = &syscall.SockaddrInet4{Port: int(e.Port), Addr: e.IP.As4()}
	}
	socket, err := syscall.Socket(family, kind|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(socket)
	if family == syscall.AF_INET6 {
		// The engine takes the two families one by one.
		if err := syscall.SetsockoptInt(socket, syscall.IPPROTO_IPV6, syscall.IPV6_V6ONLY, 1); err != nil {
			return err
		}
	}
	if kind == syscall.SOCK_STREAM {
		// As every server does; connections that are closing do not count then.
		if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
			return err
		}
	}
	return syscall.Bind(socket, address)
}

// files learns about the files of the deployment, which takes no engine.
func (g *gathering) files() {
	g.facts.Now = time.Now()
	g.facts.EnvModes = map[string]fs.FileMode{}
	for _, f := range g.deployment.EnvFiles {
		if info, err := os.Stat(f.Path); err == nil {
			g.facts.EnvModes[f.Path] = info.Mode()
		}
	}
	if !g.local {
		return // what is mounted is on the engine's machine
	}
	g.facts.Licences = map[string]LicenceFile{}
	for _, m := range licences(g.project) {
		if file, ok := look(m); ok {
			g.facts.Licences[m.Path()] = file
		}
	}
	if keys, ok := keysOf(g.project); ok {
		g.facts.KeyFiles = readGiven(keys.mounted, true, authorizedkeys.LargestText)
	}
	if configuration, ok := rotationOf(g.project); ok {
		g.facts.RotationFiles = readGiven(configuration.mounted, false, policy.LargestFile)
	}
	if folder := folderOf(g.project, topology.DBDump, dumpPlace); folder != "" {
		g.facts.DumpFolderIrregular = irregularFolder(folder)
	}
	if folder := folderOf(g.project, topology.DBArchive, archivePlace); folder != "" {
		g.facts.ArchiveFolderIrregular = irregularFolder(folder)
	}
	if h, ok := hostOf(g.project); ok {
		g.facts.Certificates = readPair(h)
	}
	for _, source := range required(g.project) {
		if _, err := os.Stat(source); errors.Is(err, fs.ErrNotExist) {
			g.facts.Absent = append(g.facts.Absent, source)
		}
	}
}

// required are the sources of bind mounts that the engine is not to make by
// itself, each once.
func required(project *types.Project) []string {
	var sources []string
	for _, name := range project.ServiceNames() {
		for _, v := range project.Services[name].Volumes {
			if v.Type == types.VolumeTypeBind && v.Bind != nil && !bool(v.Bind.CreateHostPath) && !slices.Contains(sources, v.Source) {
				sources = append(sources, v.Source)
			}
		}
	}
	return sources
}
