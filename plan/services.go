package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/docker/compose/v5/pkg/compose"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"

	"github.com/inmanta/inmanta-docker/problem"
)

// verdict is whether a container has to be made again, and why.
type verdict struct {
	container ObservedContainer
	// compose are the reasons that Compose has too, ours those it has not.
	compose, ours []Reason
}

func (v verdict) obsolete() bool { return len(v.compose) > 0 }

// service plans the containers of one service, after those of the services it depends on.
func (m *maker) service(s types.ServiceConfig) {
	if s.Provider != nil {
		return
	}
	wanted := s.GetScale()
	s, shared := m.resolve(s)
	hash, err := serviceHash(s)
	if err != nil {
		m.problems = append(m.problems, problem.Problem{
			ID: "service-invalid", Where: "services." + s.Name, What: fmt.Sprintf("the service cannot be written down: %v", err),
			Fix: "correct its numbers", Err: err,
		})
		return
	}
	var verdicts []verdict
	for _, c := range m.containers[s.Name] {
		verdicts = append(verdicts, m.judge(s, c, hash, shared))
	}
	// What is up to date and has a low number is kept longest.
	slices.SortStableFunc(verdicts, func(a, b verdict) int {
		if a.obsolete() != b.obsolete() {
			if a.obsolete() {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.container.Number, b.container.Number)
	})
	// The first by name is the one that others share things with.
	first, firstStays := "", false
	stays := func(name string, stays bool) {
		if first == "" || name < first {
			first, firstStays = name, stays
		}
	}
	next := 1
	for i, v := range verdicts {
		next = max(next, v.container.Number+1)
		if i >= wanted {
			m.add(Node{Kind: Container, Name: v.container.Name, Key: s.Name, Action: Remove, Reasons: []Reason{{
				Path: "services." + s.Name + ".scale", From: strconv.Itoa(len(verdicts)), To: strconv.Itoa(wanted),
				Settings: m.settings("services." + s.Name + ".scale"),
			}}})
			continue
		}
		if len(v.compose)+len(v.ours) == 0 {
			stays(v.container.Name, true)
			m.add(m.keep(s, v.container))
			continue
		}
		name := containerName(m.Project, s, v.container.Number)
		stays(name, false)
		m.add(Node{
			Kind: Container, Name: name, Key: s.Name, Action: Recreate,
			Reasons: append(v.compose, v.ours...), BeyondCompose: !v.obsolete(),
		})
		m.stopDependents(s)
	}
	for i := len(verdicts); i < wanted; i++ {
		name := containerName(m.Project, s, next)
		next++
		stays(name, false)
		why := "has no container yet"
		if wanted > 1 {
			why = fmt.Sprintf("has %d of %d containers", len(verdicts), wanted)
		}
		m.add(Node{Kind: Container, Name: name, Key: s.Name, Action: Create, Reasons: []Reason{stated("services."+s.Name, "%s", why)}})
	}
	m.replaced[s.Name] = !firstStays
}

// stopDependents notes who is restarted because this service's container is another.
func (m *maker) stopDependents(s types.ServiceConfig) {
	for _, name := range m.Project.GetDependentsForService(s, func(d types.ServiceDependency) bool { return d.Restart }) {
		m.stopped[name] = s.Name
	}
}

func containerName(project *types.Project, s types.ServiceConfig, number int) string {
	if s.ContainerName != "" {
		return s.ContainerName
	}
	return strings.Join([]string{project.Name, s.Name, strconv.Itoa(number)}, api.Separator)
}

// serviceHash is what Compose compares with a container's label. The SDK's
// function changes what it is given.
func serviceHash(s types.ServiceConfig) (string, error) {
	if s.Deploy != nil {
		deploy := *s.Deploy
		s.Deploy = &deploy
	}
	return compose.ServiceHash(s)
}

// resolve replaces references to other services by their containers, as
// Compose does before it hashes. Where such a container will be another, so
// must be the one that refers to it: for that, it returns reasons.
func (m *maker) resolve(s types.ServiceConfig) (types.ServiceConfig, []Reason) {
	var shared []Reason
	follow := func(field, service string) (id string, ok bool) {
		all := slices.Clone(m.containers[service])
		if m.replaced[service] || len(all) == 0 {
			shared = append(shared, m.said("services."+s.Name+"."+field, "the container of %s, which it shares, is another", service))
			return "", false
		}
		slices.SortFunc(all, func(a, b ObservedContainer) int { return strings.Compare(a.Name, b.Name) })
		return all[0].ID, true
	}
	for _, f := range []struct {
		field string
		mode  *string
	}{{"network_mode", &s.NetworkMode}, {"ipc", &s.Ipc}, {"pid", &s.Pid}} {
		if service, ok := strings.CutPrefix(*f.mode, types.NetworkModeServicePrefix); ok {
			if id, ok := follow(f.field, service); ok {
				*f.mode = types.ContainerPrefix + id
			}
		}
	}
	s.VolumesFrom = slices.Clone(s.VolumesFrom)
	for i, from := range s.VolumesFrom {
		parts := strings.Split(from, ":")
		if parts[0] == "container" && len(parts) > 1 {
			s.VolumesFrom[i] = parts[1]
		} else if id, ok := follow("volumes_from", parts[0]); ok {
			s.VolumesFrom[i] = id
		}
	}
	return s, shared
}

// judge looks at one container of the service. shared are the reasons that
// come from others.
func (m *maker) judge(s types.ServiceConfig, c ObservedContainer, hash string, shared []Reason) verdict {
	v := verdict{container: c}
	told := func(path string) bool {
		return slices.ContainsFunc(v.compose, func(r Reason) bool { return r.Path == path })
	}
	if c.ConfigHash != hash {
		v.compose = m.hashReasons(s, c, shared)
	}
	if path := "services." + s.Name + ".image"; !told(path) {
		v.compose = append(v.compose, m.imageReasons(path, s, c)...)
	}
	if path := "services." + s.Name + ".networks"; !told(path) {
		missing, unnamed := m.networkReasons(path, s, c)
		// Compose looks at the networks of running containers only.
		if c.State == container.StateRunning && m.stopped[s.Name] == "" {
			v.compose = append(v.compose, missing...)
		} else {
			v.ours = append(v.ours, missing...)
		}
		v.ours = append(v.ours, unnamed...)
	}
	if path := "services." + s.Name + ".volumes"; !told(path) {
		v.compose = append(v.compose, m.volumeReasons(path, s, c)...)
	}
	for _, f := range injections(m.Project, s) {
		content, looked := c.Files[f.Target]
		// A container that never ran gets its files when it is started.
		if !looked || content == f.content || c.State == container.StateCreated || told("services."+s.Name+"."+f.kind()) {
			continue
		}
		r := m.said(f.Path+".content", "content changed")
		if f.Variable != "" {
			r.Settings = []string{f.Variable}
		}
		r.Path = f.Path
		v.ours = append(v.ours, r)
	}
	v.ours = append(v.ours, m.programReasons(s, c)...)
	return v
}

// hashReasons explain why a container was made with another configuration, as
// far as it can be seen.
func (m *maker) hashReasons(s types.ServiceConfig, c ObservedContainer, shared []Reason) []Reason {
	prefix := "services." + s.Name
	desired := desiredFields(m.Project, s, containerName(m.Project, s, c.Number), m.observed.Images[api.GetImageNameOrDefault(s, m.Project.Name)])
	observed := observedFields(c, m.observed.Images[c.ImageID], m.Project)
	reasons := slices.Clone(shared)
	for _, r := range m.compared(prefix, observed, desired) {
		if !slices.ContainsFunc(shared, func(other Reason) bool { return other.Path == r.Path }) {
			reasons = append(reasons, r)
		}
	}
	for _, f := range injections(m.Project, s) {
		if content, looked := c.Files[f.Target]; looked && content == (Content{}) && c.State != container.StateCreated {
			reasons = append(reasons, Reason{Path: prefix + "." + f.kind(), To: f.Target, Settings: m.settings(prefix + "." + f.kind())})
		}
	}
	if len(reasons) > 0 {
		return reasons
	}
	why := "configuration hash differs, though no field that can be seen does"
	if c.ComposeVersion != api.ComposeVersion && c.ComposeVersion != "" {
		why += fmt.Sprintf("; it was made by Compose %s", c.ComposeVersion)
	}
	return []Reason{stated(prefix, "%s", why)}
}

func (m *maker) imageReasons(path string, s types.ServiceConfig, c ObservedContainer) []Reason {
	reference := api.GetImageNameOrDefault(s, m.Project.Name)
	facts, here := m.observed.Images[reference]
	switch {
	case !here:
		return []Reason{m.said(path, "%s is not on this engine, and what is fetched may be another", reference)}
	case c.ImageDigest == facts.ID:
		return nil
	}
	return []Reason{{
		Path: path, From: digest(c.ImageDigest), To: digest(facts.ID),
		Text: reference + " is another image now", Settings: m.settings(path),
	}}
}

// digest is enough of an image's ID to know it by.
func digest(id string) string {
	const most = len("sha256:") + shortID
	return id[:min(len(id), most)]
}

// networkReasons are the networks that the container is not connected to, and
// those on which others cannot find it by its service's name.
func (m *maker) networkReasons(path string, s types.ServiceConfig, c ObservedContainer) (missing, unnamed []Reason) {
	for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
		name := m.Project.Networks[key].Name
		if m.remade[key] {
			unnamed = append(unnamed, m.said(path, "%s is made again, and the name %s is lost to a container that is only connected again", name, s.Name))
			continue
		}
		connected := false
		for on, endpoint := range c.Endpoints {
			if !m.meets(key, on, endpoint, c.State) {
				continue
			}
			connected = true
			if !slices.Contains(endpoint.Aliases, s.Name) && !slices.Contains(endpoint.DNSNames, s.Name) {
				unnamed = append(unnamed, m.said(path, "on %s it does not answer to the name %s", name, s.Name))
			}
		}
		if !connected {
			missing = append(missing, m.said(path, "it is not connected to %s", name))
		}
	}
	return missing, unnamed
}

// meets says that the endpoint a container has on a network, called on, is on
// the one that the files call key.
func (m *maker) meets(key, on string, endpoint *network.EndpointSettings, state container.ContainerState) bool {
	switch {
	case endpoint == nil || m.networkIDs[key] == "":
		return false
	case state == container.StateRunning:
		return endpoint.NetworkID == m.networkIDs[key]
	}
	// What stands still is connected when it is started, and by name.
	return on == m.Project.Networks[key].Name
}

func (m *maker) volumeReasons(path string, s types.ServiceConfig, c ObservedContainer) []Reason {
	var reasons []Reason
	for _, v := range s.Volumes {
		if v.Type != types.VolumeTypeVolume || v.Source == "" {
			continue
		}
		name := m.Project.Volumes[v.Source].Name
		if !slices.ContainsFunc(c.Mounts, func(o container.MountPoint) bool { return o.Type == mount.TypeVolume && o.Name == name }) {
			reasons = append(reasons, m.said(path, "%s is not mounted", name))
		}
	}
	return reasons
}

// adjustable are fields that the engine changes on a container that exists.
var adjustable = []string{
	"restart", "mem_limit", "memswap_limit", "mem_reservation",
	"cpus", "cpu_shares", "cpu_period", "cpu_quota", "cpuset", "pids_limit",
}

// keep is what happens to a container that stays the same.
func (m *maker) keep(s types.ServiceConfig, c ObservedContainer) Node {
	n := Node{Kind: Container, Name: c.Name, Key: s.Name, Action: Start}
	path := "services." + s.Name
	switch c.State {
	case container.StateRunning:
		if other := m.stopped[s.Name]; other != "" {
			n.Action = Restart
			n.Reasons = []Reason{stated(path+".depends_on."+other+".restart", "the container of %s is another", other)}
			break
		}
		n.Action = Leave
		n.Reasons = m.adjusted(s, c)
	case container.StateRestarting:
		// The engine would, and waits longer each time, up to a minute: whoever
		// has mended the cause wants to see it at once.
		n.Action, n.BeyondCompose = Restart, true
		n.Reasons = []Reason{stated(path, "it ended with exit code %d, and waits to be started again", c.ExitCode)}
	case container.StatePaused:
		n.Reasons = []Reason{stated(path, "it is paused")}
		n.BeyondCompose = true
	case container.StateCreated:
		n.Reasons = []Reason{stated(path, "it was never started")}
	default:
		n.Reasons = []Reason{stated(path, "it ended with exit code %d", c.ExitCode)}
		if c.ExitCode == 0 && m.OneShot(s) {
			n.Routine = true
			n.Reasons = []Reason{stated(path, "it has done its work, and looks whether there is more")}
		}
	}
	return n
}

// adjusted are fields that somebody changed on the container itself. Compose
// does not see them.
func (m *maker) adjusted(s types.ServiceConfig, c ObservedContainer) []Reason {
	desired, observed := fields{}, fields{}
	desired.desiredLimits(s)
	desired.set("restart", desiredRestart(s))
	observed.observedLimits(c)
	observed.set("restart", restartPolicy(string(c.Host.RestartPolicy.Name), c.Host.RestartPolicy.MaximumRetryCount))
	var reasons []Reason
	for _, d := range compare(observed, desired) {
		if slices.Contains(adjustable, d.key) {
			r := m.changed("services."+s.Name, d)
			r.Text = "changed on the container itself, which `up` does not see"
			reasons = append(reasons, r)
		}
	}
	return reasons
}
