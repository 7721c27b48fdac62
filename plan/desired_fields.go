package plan

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/moby/moby/api/types/container"
)

// desiredFields are what Compose would make a container with: the values of a
// service, whose references are resolved, as the engine would show them.
func desiredFields(project *types.Project, s types.ServiceConfig, name string, image ImageFacts) fields {
	f := fields{}
	f.set("image", api.GetImageNameOrDefault(s, project.Name))
	f.set("container_name", name)
	f.desiredProcess(s, image)
	f.desiredPlaces(project, s)
	f.desiredNetworks(project, s, image)
	f.desiredLimits(s)
	return f
}

func (f fields) desiredProcess(s types.ServiceConfig, image ImageFacts) {
	entrypoint := []string(s.Entrypoint)
	if s.Entrypoint == nil {
		entrypoint = image.Entrypoint
	}
	command := []string(s.Command)
	if len(command) == 0 && len(s.Entrypoint) == 0 {
		command = image.Cmd
	}
	if !slices.Equal(command, image.Cmd) {
		f.set("command", words(command))
	}
	if !slices.Equal(entrypoint, image.Entrypoint) {
		f.set("entrypoint", words(entrypoint))
	}
	environment := map[string]string{}
	for name, value := range s.Environment {
		if value != nil {
			environment[name] = *value
		}
	}
	f.each("environment", beyond(pairs(image.Env), environment))
	f.each("labels", beyond(image.Labels, s.Labels))
	f.each("annotations", s.Annotations)
	if s.User != image.User {
		f.set("user", s.User)
	}
	if s.WorkingDir != image.WorkingDir {
		f.set("working_dir", s.WorkingDir)
	}
	if s.StopSignal != image.StopSignal {
		f.set("stop_signal", s.StopSignal)
	}
	if s.StopGracePeriod != nil {
		f["stop_grace_period"] = []string{strconv.Itoa(int(time.Duration(*s.StopGracePeriod).Seconds())) + "s"}
	}
	f.healthcheck(desiredCheck(s.HealthCheck, image.Healthcheck), image.Healthcheck)
	f.set("restart", desiredRestart(s))
	f.flag("tty", s.Tty)
	f.flag("stdin_open", s.StdinOpen)
	f.flag("init", s.Init != nil && *s.Init)
	f.flag("privileged", s.Privileged)
	f.flag("read_only", s.ReadOnly)
	f.list("cap_add", capabilities(s.CapAdd))
	f.list("cap_drop", capabilities(s.CapDrop))
	f.list("security_opt", s.SecurityOpt)
	f.list("group_add", s.GroupAdd)
	f.each("sysctls", s.Sysctls)
	if s.Logging != nil {
		f.set("logging.driver", s.Logging.Driver)
		f.each("logging.options", s.Logging.Options)
	}
	f.set("runtime", s.Runtime)
	f.set("ipc", s.Ipc)
	f.set("cgroup", s.Cgroup)
	f.set("pid", s.Pid)
	f.set("uts", s.Uts)
	f.set("userns_mode", s.UserNSMode)
}

// desiredCheck is a service's health check over its image's: what it does not
// say is the image's.
func desiredCheck(check *types.HealthCheckConfig, image *container.HealthConfig) *container.HealthConfig {
	if check == nil {
		return nil
	}
	merged := container.HealthConfig{}
	if image != nil {
		merged = *image
	}
	if check.Disable {
		merged.Test = []string{"NONE"}
	} else if len(check.Test) > 0 {
		merged.Test = check.Test
	}
	for _, d := range []struct {
		to   *time.Duration
		from *types.Duration
	}{
		{&merged.Interval, check.Interval},
		{&merged.Timeout, check.Timeout},
		{&merged.StartPeriod, check.StartPeriod},
		{&merged.StartInterval, check.StartInterval},
	} {
		if d.from != nil && *d.from != 0 {
			*d.to = time.Duration(*d.from)
		}
	}
	if check.Retries != nil && *check.Retries != 0 {
		merged.Retries = int(*check.Retries)
	}
	return &merged
}

// desiredRestart is the engine's word for the restart policy.
func desiredRestart(s types.ServiceConfig) string {
	name, attempts := s.Restart, 0
	if n, count, ok := strings.Cut(s.Restart, ":"); ok {
		name = n
		attempts, _ = strconv.Atoi(count)
	}
	if s.Deploy != nil && s.Deploy.RestartPolicy != nil {
		name, attempts = s.Deploy.RestartPolicy.Condition, 0
		if most := s.Deploy.RestartPolicy.MaxAttempts; most != nil {
			attempts = int(*most)
		}
	}
	switch name {
	case "none":
		name = "no"
	case "any":
		name = "always"
	}
	return restartPolicy(name, attempts)
}

func (f fields) desiredPlaces(project *types.Project, s types.ServiceConfig) {
	at := map[string]string{}
	for _, v := range s.Volumes {
		source := v.Source
		switch v.Type {
		case types.VolumeTypeBind:
			source = filepath.Clean(source)
		case types.VolumeTypeVolume:
			if known, ok := project.Volumes[v.Source]; ok {
				source = known.Name
			}
		}
		target := path.Clean(v.Target)
		at[target] = mounted(v.Type, source, target, v.ReadOnly)
	}
	bind := func(folder, source, target string, object types.FileObjectConfig) {
		if object.File == "" || object.Content != "" || object.Environment != "" {
			return
		}
		if target == "" {
			target = source
		}
		if !strings.HasPrefix(target, "/") {
			target = path.Join(folder, target)
		}
		if _, taken := at[target]; !taken {
			at[target] = mounted(types.VolumeTypeBind, filepath.Clean(object.File), target, true)
		}
	}
	for _, c := range s.Secrets {
		bind("/run/secrets", c.Source, c.Target, types.FileObjectConfig(project.Secrets[c.Source]))
	}
	for _, c := range s.Configs {
		bind("/", c.Source, c.Target, types.FileObjectConfig(project.Configs[c.Source]))
	}
	f.list("volumes", slices.Collect(maps.Values(at)))
	var temporary []string
	for _, t := range s.Tmpfs {
		target, options, _ := strings.Cut(t, ":")
		temporary = append(temporary, tmpfs(target, options))
	}
	f.list("tmpfs", temporary)
	f.list("volumes_from", s.VolumesFrom)
	var devices []string
	for _, d := range s.Devices {
		devices = append(devices, device(container.DeviceMapping{
			PathOnHost: d.Source, PathInContainer: d.Target, CgroupPermissions: d.Permissions,
		}))
	}
	f.list("devices", devices)
	f.each("storage_opt", s.StorageOpt)
	if s.ShmSize != shmDefault {
		f.size("shm_size", int64(s.ShmSize))
	}
}

func (f fields) desiredNetworks(project *types.Project, s types.ServiceConfig, image ImageFacts) {
	switch {
	case s.NetworkMode != "":
		f.set("network_mode", s.NetworkMode)
	case len(project.Networks) == 0:
		f.set("network_mode", "none")
	default:
		var names []string
		for key, config := range s.Networks {
			names = append(names, project.Networks[key].Name)
			if config != nil {
				f.list("networks."+key+".aliases", config.Aliases)
				f.set("networks."+key+".ipv4_address", config.Ipv4Address)
			}
		}
		f.list("networks", names)
	}
	f.set("hostname", s.Hostname)
	f.set("domainname", s.DomainName)
	var ports []string
	published := map[string]bool{}
	for _, p := range s.Ports {
		target := strconv.Itoa(int(p.Target))
		ports = append(ports, publishedPort(p.HostIP, p.Published, target, p.Protocol))
		published[target+"/"+p.Protocol] = true
	}
	f.list("ports", ports)
	var exposed []string
	for _, e := range s.Expose {
		exposed = append(exposed, exposedPorts(e)...)
	}
	f.list("expose", slices.DeleteFunc(exposed, func(p string) bool {
		return published[p] || slices.Contains(image.ExposedPorts, p)
	}))
	f.list("extra_hosts", s.ExtraHosts.AsList(":"))
	f.list("dns", s.DNS)
	f.list("dns_search", s.DNSSearch)
	f.list("dns_opt", s.DNSOpts)
}

// exposedPorts are the ports of an `expose` entry ("80", "80/udp", "80-82"), as
// the engine writes them. What is no port stays as it is: Compose refuses it.
func exposedPorts(entry string) []string {
	ports, protocol, ok := strings.Cut(entry, "/")
	if !ok {
		protocol = "tcp"
	}
	first, last, ok := strings.Cut(ports, "-")
	if !ok {
		last = first
	}
	from, err := strconv.ParseUint(first, 10, 16)
	to, lastErr := strconv.ParseUint(last, 10, 16)
	if err != nil || lastErr != nil || from > to {
		return []string{entry}
	}
	var all []string
	for port := from; port <= to; port++ {
		all = append(all, fmt.Sprintf("%d/%s", port, protocol))
	}
	return all
}

func (f fields) desiredLimits(s types.ServiceConfig) {
	memory, reserved, nano, pids := int64(s.MemLimit), int64(s.MemReservation), int64(s.CPUS*1e9), s.PidsLimit
	if s.Deploy != nil && s.Deploy.Resources.Limits != nil {
		limits := s.Deploy.Resources.Limits
		if limits.MemoryBytes != 0 {
			memory = int64(limits.MemoryBytes)
		}
		if limits.NanoCPUs != 0 {
			nano = int64(limits.NanoCPUs * 1e9)
		}
		if limits.Pids > 0 {
			pids = limits.Pids
		}
	}
	if s.Deploy != nil && s.Deploy.Resources.Reservations != nil && s.Deploy.Resources.Reservations.MemoryBytes != 0 {
		reserved = int64(s.Deploy.Resources.Reservations.MemoryBytes)
	}
	f.size("mem_limit", memory)
	if int64(s.MemSwapLimit) != 2*memory {
		f.size("memswap_limit", int64(s.MemSwapLimit))
	}
	f.size("mem_reservation", reserved)
	f.number("mem_swappiness", int64(s.MemSwappiness))
	f.flag("oom_kill_disable", s.OomKillDisable)
	f.number("oom_score_adj", s.OomScoreAdj)
	if pids > 0 {
		f.number("pids_limit", pids)
	}
	f.set("cpus", cpus(nano))
	f.number("cpu_shares", s.CPUShares)
	f.number("cpu_period", s.CPUPeriod)
	f.number("cpu_quota", s.CPUQuota)
	f.set("cpuset", s.CPUSet)
	f.set("cgroup_parent", s.CgroupParent)
	for name, u := range s.Ulimits {
		if u == nil {
			continue
		}
		soft, hard := u.Single, u.Single
		if u.Soft != 0 {
			soft = u.Soft
		}
		if u.Hard != 0 {
			hard = u.Hard
		}
		f.set("ulimits."+name, ulimit(int64(soft), int64(hard)))
	}
}
