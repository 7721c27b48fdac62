package plan

import (
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/moby/api/types/container"
)

// composeLabels begins the labels that Compose itself puts on things.
const composeLabels = "com.docker.compose."

// proxyVariables are put into containers from the Docker configuration of
// whoever ran Compose; the files know nothing of them.
var proxyVariables = []string{"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"}

// observedFields are what a container was made with. image is what it was made
// from; project tells the compose files' names for networks.
func observedFields(c ObservedContainer, image ImageFacts, project *types.Project) fields {
	f := fields{}
	f.set("image", c.Image)
	f.set("container_name", c.Name)
	f.observedProcess(c, image)
	f.observedPlaces(c, image)
	f.observedNetworks(c, image, project)
	f.observedLimits(c)
	return f
}

// observedProcess are the fields about what runs, and as whom.
func (f fields) observedProcess(c ObservedContainer, image ImageFacts) {
	if !slices.Equal(c.Config.Cmd, image.Cmd) {
		f.set("command", words(c.Config.Cmd))
	}
	if !slices.Equal(c.Config.Entrypoint, image.Entrypoint) {
		f.set("entrypoint", words(c.Config.Entrypoint))
	}
	f.each("environment", beyond(pairs(image.Env), pairs(c.Config.Env)))
	for _, name := range proxyVariables {
		delete(f, "environment."+name)
		delete(f, "environment."+strings.ToLower(name))
	}
	for name, value := range beyond(image.Labels, c.Config.Labels) {
		if !strings.HasPrefix(name, composeLabels) && !strings.HasPrefix(name, ownLabelPrefix) {
			f["labels."+name] = []string{value}
		}
	}
	f.each("annotations", c.Host.Annotations)
	if c.Config.User != image.User {
		f.set("user", c.Config.User)
	}
	if c.Config.WorkingDir != image.WorkingDir {
		f.set("working_dir", c.Config.WorkingDir)
	}
	if c.Config.StopSignal != image.StopSignal {
		f.set("stop_signal", c.Config.StopSignal)
	}
	if c.Config.StopTimeout != nil {
		f["stop_grace_period"] = []string{strconv.Itoa(*c.Config.StopTimeout) + "s"}
	}
	f.healthcheck(c.Config.Healthcheck, image.Healthcheck)
	f.set("restart", restartPolicy(string(c.Host.RestartPolicy.Name), c.Host.RestartPolicy.MaximumRetryCount))
	f.flag("tty", c.Config.Tty)
	f.flag("stdin_open", c.Config.OpenStdin)
	f.flag("init", c.Host.Init != nil && *c.Host.Init)
	f.flag("privileged", c.Host.Privileged)
	f.flag("read_only", c.Host.ReadonlyRootfs)
	f.list("cap_add", capabilities(c.Host.CapAdd))
	f.list("cap_drop", capabilities(c.Host.CapDrop))
	f.list("security_opt", c.Host.SecurityOpt)
	f.list("group_add", c.Host.GroupAdd)
	f.each("sysctls", c.Host.Sysctls)
	f.set("logging.driver", c.Host.LogConfig.Type)
	f.each("logging.options", c.Host.LogConfig.Config)
	f.set("runtime", c.Host.Runtime)
	f.set("ipc", string(c.Host.IpcMode))
	f.set("cgroup", string(c.Host.CgroupnsMode))
	f.set("pid", string(c.Host.PidMode))
	f.set("uts", string(c.Host.UTSMode))
	f.set("userns_mode", string(c.Host.UsernsMode))
}

// observedPlaces are the fields about files and devices.
func (f fields) observedPlaces(c ObservedContainer, image ImageFacts) {
	var mounts []string
	for _, m := range c.Mounts {
		source := m.Source
		if m.Name != "" {
			source = m.Name
		}
		if anonymous(m) {
			if slices.Contains(image.Volumes, m.Destination) {
				continue
			}
			source = ""
		}
		mounts = append(mounts, mounted(string(m.Type), source, path.Clean(m.Destination), !m.RW))
	}
	f.list("volumes", mounts)
	var temporary []string
	for target, options := range c.Host.Tmpfs {
		temporary = append(temporary, tmpfs(target, options))
	}
	f.list("tmpfs", temporary)
	f.list("volumes_from", c.Host.VolumesFrom)
	var devices []string
	for _, d := range c.Host.Devices {
		devices = append(devices, device(d))
	}
	f.list("devices", devices)
	f.each("storage_opt", c.Host.StorageOpt)
	if c.Host.ShmSize != shmDefault {
		f.size("shm_size", c.Host.ShmSize)
	}
}

// observedNetworks are the fields about names, networks and ports.
func (f fields) observedNetworks(c ObservedContainer, image ImageFacts, project *types.Project) {
	mode := c.Host.NetworkMode
	switch {
	case mode.IsHost(), mode.IsNone(), mode.IsContainer(), mode.IsBridge(), mode.IsDefault():
		f.set("network_mode", string(mode))
	default:
		var names []string
		for name, endpoint := range c.Endpoints {
			names = append(names, name)
			if endpoint == nil {
				continue
			}
			key := name
			for k, n := range project.Networks {
				if n.Name == name {
					key = k
				}
			}
			own := []string{c.Name, c.Service, c.ID[:min(len(c.ID), shortID)]}
			f.list("networks."+key+".aliases", without(endpoint.Aliases, own))
			if endpoint.IPAMConfig != nil && endpoint.IPAMConfig.IPv4Address.IsValid() {
				f.set("networks."+key+".ipv4_address", endpoint.IPAMConfig.IPv4Address.String())
			}
		}
		f.list("networks", names)
	}
	if !strings.HasPrefix(c.ID, c.Config.Hostname) && !mode.IsHost() && !mode.IsContainer() {
		f.set("hostname", c.Config.Hostname)
	}
	f.set("domainname", c.Config.Domainname)
	var ports, exposed []string
	for port, bindings := range c.Host.PortBindings {
		for _, b := range bindings {
			ip := ""
			if b.HostIP.IsValid() {
				ip = b.HostIP.String()
			}
			ports = append(ports, publishedPort(ip, b.HostPort, strconv.Itoa(int(port.Num())), string(port.Proto())))
		}
	}
	for port := range c.Config.ExposedPorts {
		if c.Host.PortBindings[port] == nil && !slices.Contains(image.ExposedPorts, port.String()) {
			exposed = append(exposed, port.String())
		}
	}
	f.list("ports", ports)
	f.list("expose", exposed)
	f.list("extra_hosts", c.Host.ExtraHosts)
	f.list("dns", addresses(c.Host.DNS))
	f.list("dns_search", c.Host.DNSSearch)
	f.list("dns_opt", c.Host.DNSOptions)
}

// shortID is how much of its ID a container answers to as a name.
const shortID = 12

func addresses(list []netip.Addr) []string {
	texts := make([]string, len(list))
	for i, a := range list {
		texts[i] = a.String()
	}
	return texts
}

// observedLimits are the fields about what it may use.
func (f fields) observedLimits(c ObservedContainer) {
	limits := c.Host.Resources
	f.size("mem_limit", limits.Memory)
	// The engine allows as much swap again where nobody says how much.
	if limits.MemorySwap != 2*limits.Memory {
		f.size("memswap_limit", limits.MemorySwap)
	}
	f.size("mem_reservation", limits.MemoryReservation)
	if limits.MemorySwappiness != nil && *limits.MemorySwappiness != -1 {
		f.number("mem_swappiness", *limits.MemorySwappiness)
	}
	f.flag("oom_kill_disable", limits.OomKillDisable != nil && *limits.OomKillDisable)
	f.number("oom_score_adj", int64(c.Host.OomScoreAdj))
	if limits.PidsLimit != nil && *limits.PidsLimit > 0 {
		f.number("pids_limit", *limits.PidsLimit)
	}
	f.set("cpus", cpus(limits.NanoCPUs))
	f.number("cpu_shares", limits.CPUShares)
	f.number("cpu_period", limits.CPUPeriod)
	f.number("cpu_quota", limits.CPUQuota)
	f.set("cpuset", limits.CpusetCpus)
	f.set("cgroup_parent", limits.CgroupParent)
	for _, u := range limits.Ulimits {
		f.set("ulimits."+u.Name, ulimit(u.Soft, u.Hard))
	}
}

func cpus(nano int64) string {
	if nano == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(nano)/1e9, 'f', -1, 64)
}

func ulimit(soft, hard int64) string {
	if soft == hard {
		return strconv.FormatInt(soft, 10)
	}
	return strconv.FormatInt(soft, 10) + ":" + strconv.FormatInt(hard, 10)
}

func device(d container.DeviceMapping) string {
	return d.PathOnHost + ":" + d.PathInContainer + ":" + d.CgroupPermissions
}

func tmpfs(target, options string) string {
	if options == "" {
		return target
	}
	return target + ":" + options
}
