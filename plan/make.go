package plan

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/docker/compose/v5/pkg/api"
	"github.com/docker/compose/v5/pkg/compose"

	"github.com/inmanta/inmanta-docker/problem"
)

// Desired is what should run.
type Desired struct {
	// Project is composed as Compose's `up` composes it: loaded by the SDK,
	// with the services' environment resolved. It is not changed.
	Project *types.Project
	// Provenance names the variables that the compose files mention at a path
	// such as "services.server.ports". Nil knows none.
	Provenance func(path string) []string
	// Secret says that a variable's values must not be shown. Nil says so of none.
	Secret func(name string) bool
	// OneShot says that a service's containers do their work and end with 0. Nil
	// says so of none.
	OneShot func(service types.ServiceConfig) bool
	// Program is what sidecars run; zero where no service mounts it.
	Program Program
	// RemoveOrphans removes containers of services that the files do not have;
	// without it they are left, with a reason.
	RemoveOrphans bool
	// Now is what a pull_policy such as "daily" goes by; the zero time is
	// always too early for it.
	Now time.Time
}

// Make compares what should run with what the engine has. Its error is a
// problem.List: all that would make `up` fail before it touches a container.
func Make(d Desired, o Observed) (Plan, error) {
	if d.Provenance == nil {
		d.Provenance = func(string) []string { return nil }
	}
	if d.Secret == nil {
		d.Secret = func(string) bool { return false }
	}
	if d.OneShot == nil {
		d.OneShot = func(types.ServiceConfig) bool { return false }
	}
	m := &maker{
		Desired: d, observed: o, secrecy: newSecrecy(d),
		networkIDs: map[string]string{}, remade: map[string]bool{},
		containers: map[string][]ObservedContainer{}, replaced: map[string]bool{}, stopped: map[string]string{},
	}
	m.images()
	m.networks()
	m.volumes()
	m.orphans()
	for _, name := range dependencyOrder(d.Project) {
		m.service(d.Project.Services[name])
	}
	if err := m.problems.OrNil(); err != nil {
		return Plan{}, err
	}
	return Plan{Project: d.Project.Name, Nodes: append([]Node{}, m.nodes...)}, nil
}

// maker is a plan in the making.
type maker struct {
	Desired
	observed Observed
	secrecy  secrecy
	nodes    []Node
	problems problem.List

	// networkIDs are the engine's, by the files' name; empty for one that will
	// be another by the time a container is looked at.
	networkIDs map[string]string
	// remade are networks that are removed and made again.
	remade map[string]bool
	// containers are the services' own.
	containers map[string][]ObservedContainer
	// replaced are services whose first container will be another.
	replaced map[string]bool
	// stopped are services that are stopped for the sake of another, with why.
	stopped map[string]string
}

func (m *maker) add(n Node) {
	if n.Reasons == nil {
		n.Reasons = []Reason{}
	}
	m.nodes = append(m.nodes, n)
}

// stated is a reason in words that no setting has to do with.
func stated(path, format string, values ...any) Reason {
	return Reason{Path: path, Text: fmt.Sprintf(format, values...), Settings: []string{}}
}

// said is a reason in words about something that the files say at path.
func (m *maker) said(path, format string, values ...any) Reason {
	r := stated(path, format, values...)
	r.Settings = m.settings(path)
	return r
}

// settings are the variables mentioned at path; never nil.
func (m *maker) settings(path string) []string {
	return append([]string{}, m.Provenance(path)...)
}

// changed is a field's difference as a reason, with secrets hidden.
func (m *maker) changed(prefix string, d difference) Reason {
	path := prefix + "." + d.key
	variables := m.settings(path)
	r := Reason{Path: path, From: d.from, To: d.to, Settings: changedBy(variables, m.Project.Environment, d.from, d.to)}
	if m.secrecy.hides(d.key, variables, d.from, d.to) {
		if d.from != "" {
			r.From = hidden
		}
		if d.to != "" {
			r.To = hidden
		}
	}
	return r
}

func (m *maker) compared(prefix string, observed, desired fields) []Reason {
	var reasons []Reason
	for _, d := range compare(observed, desired) {
		reasons = append(reasons, m.changed(prefix, d))
	}
	return reasons
}

// images are those to be fetched or built first; the others are not worth a line.
func (m *maker) images() {
	seen := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(m.Project.Services)) {
		s := m.Project.Services[name]
		reference := api.GetImageNameOrDefault(s, m.Project.Name)
		if seen[reference] || s.Provider != nil {
			continue
		}
		if action, why := m.image(s, reference); action != Leave {
			seen[reference] = true
			m.add(Node{Kind: Image, Name: reference, Key: name, Action: action, Reasons: []Reason{why}})
		}
	}
}

// image is what happens to a service's image, and why.
func (m *maker) image(s types.ServiceConfig, reference string) (Action, Reason) {
	facts, here := m.observed.Images[reference]
	path := "services." + s.Name
	byPolicy := m.said(path+".pull_policy", "is %s", s.PullPolicy)
	// A policy that cannot be read has been refused when the files were loaded.
	policy, interval, _ := s.GetPullPolicy()
	absent := m.said(path+".image", "is not on this engine")
	switch {
	case policy == types.PullPolicyBuild && s.Build != nil:
		return Build, byPolicy
	case policy == types.PullPolicyAlways && s.Image != "":
		return Pull, byPolicy
	case !here && s.Build != nil && (s.Image == "" || policy == types.PullPolicyNever):
		return Build, absent
	case !here && (policy == types.PullPolicyNever || policy == types.PullPolicyBuild):
		m.problems = append(m.problems, problem.Problem{
			ID: "image-missing", Where: absent.Path,
			What: fmt.Sprintf("the image %s is not on this engine, and pull_policy %s does not fetch it", reference, policy),
			Fix:  "build or load it, or take pull_policy away",
		})
	case !here:
		return Pull, absent
	case policy == types.PullPolicyRefresh && m.Now.After(facts.Tagged.Add(interval)):
		return Pull, byPolicy
	}
	return Leave, Reason{}
}

func (m *maker) networks() {
	for _, key := range slices.Sorted(maps.Keys(m.Project.Networks)) {
		n := m.Project.Networks[key]
		found, twins, ok := m.findNetwork(key, n)
		for _, twin := range twins {
			// Its name is not its own.
			m.add(Node{Kind: Network, Name: twin.ID[:min(len(twin.ID), shortID)], Key: key, Action: Remove, BeyondCompose: true, Reasons: []Reason{
				stated("networks."+key, "there is another of the name %s, and the engine connects nobody to a name that two have", n.Name),
			}})
		}
		node := Node{Kind: Network, Name: n.Name, Key: key, Action: Leave}
		path := "networks." + key
		switch {
		case bool(n.External) && !ok:
			m.problems = append(m.problems, problem.Problem{
				ID: "network-missing", Where: path, What: fmt.Sprintf("the external network %s is not on this engine", n.Name),
				Fix: fmt.Sprintf("make it with `docker network create %s`, or correct its name", n.Name),
			})
			continue
		case bool(n.External):
			m.networkIDs[key] = found.ID
			continue
		case !ok:
			node.Action = Create
		case found.Labels[api.NetworkLabel] != key:
			m.problems = append(m.problems, problem.Problem{
				ID: "network-taken", Where: path, What: fmt.Sprintf("a network called %s exists and is not this one", n.Name),
				Fix: fmt.Sprintf("remove it with `docker network rm %s`, or declare it external", n.Name),
			})
			continue
		default:
			hash, err := compose.NetworkHash(&n)
			made := found.Labels[api.ConfigHashLabel]
			if err != nil || made == "" || made == hash {
				m.networkIDs[key] = found.ID
				break
			}
			node.Action = Recreate
			node.Reasons = m.compared(path, networkFields(found), desiredNetwork(n, found))
			if len(node.Reasons) == 0 {
				node.Reasons = []Reason{stated(path, "configuration hash differs, though no field that can be seen does")}
			}
			m.remade[key] = true
		}
		m.add(node)
	}
}

// findNetwork is the network that Compose would take for this one. Twins are
// others that Compose made for it too, when two ups were at work at once or one
// was killed, and that no container is on.
func (m *maker) findNetwork(key string, n types.NetworkConfig) (found ObservedNetwork, twins []ObservedNetwork, ok bool) {
	var named, own []ObservedNetwork
	for _, o := range m.observed.Networks {
		switch {
		case o.Name != n.Name && o.ID != n.Name:
		case o.Labels[api.ProjectLabel] == m.Project.Name && o.Labels[api.NetworkLabel] == key:
			own = append(own, o)
		default:
			named = append(named, o)
		}
	}
	if len(own) == 0 {
		if len(named) == 0 {
			return ObservedNetwork{}, nil, false
		}
		return named[0], nil, true
	}
	found = own[max(0, slices.IndexFunc(own, m.occupied))]
	for _, o := range own {
		if o.ID != found.ID && !m.occupied(o) {
			twins = append(twins, o)
		}
	}
	return found, twins, true
}

// occupied says that a container of the project is on the network.
func (m *maker) occupied(n ObservedNetwork) bool {
	return slices.ContainsFunc(m.observed.Containers, func(c ObservedContainer) bool {
		for _, e := range c.Endpoints {
			if e != nil && e.NetworkID == n.ID {
				return true
			}
		}
		return false
	})
}

func ownLabels(labels map[string]string) map[string]string {
	own := maps.Clone(labels)
	maps.DeleteFunc(own, func(name, _ string) bool { return strings.HasPrefix(name, composeLabels) })
	return own
}

func networkFields(n ObservedNetwork) fields {
	f := fields{}
	f.set("driver", n.Driver)
	f.flag("internal", n.Internal)
	f.flag("attachable", n.Attachable)
	f.flag("enable_ipv6", n.EnableIPv6)
	f.each("labels", ownLabels(n.Labels))
	f.each("driver_opts", n.Options)
	f.list("ipam.config", n.Subnets)
	return f
}

// desiredNetwork is what the files say; what they leave to the engine is what it chose.
func desiredNetwork(n types.NetworkConfig, found ObservedNetwork) fields {
	f := fields{}
	f.set("driver", n.Driver)
	if n.Driver == "" {
		f.set("driver", found.Driver)
	}
	f.flag("internal", n.Internal)
	f.flag("attachable", n.Attachable)
	f.flag("enable_ipv6", n.EnableIPv6 != nil && *n.EnableIPv6)
	f.each("labels", n.Labels)
	f.each("driver_opts", n.DriverOpts)
	var subnets []string
	for _, pool := range n.Ipam.Config {
		subnets = append(subnets, pool.Subnet)
	}
	if len(subnets) == 0 {
		subnets = found.Subnets
	}
	f.list("ipam.config", subnets)
	return f
}

func (m *maker) volumes() {
	for _, key := range slices.Sorted(maps.Keys(m.Project.Volumes)) {
		v := m.Project.Volumes[key]
		at := slices.IndexFunc(m.observed.Volumes, func(o ObservedVolume) bool { return o.Name == v.Name })
		path := "volumes." + key
		node := Node{Kind: Volume, Name: v.Name, Key: key, Action: Leave}
		switch {
		case bool(v.External) && at < 0:
			m.problems = append(m.problems, problem.Problem{
				ID: "volume-missing", Where: path, What: fmt.Sprintf("the external volume %s is not on this engine", v.Name),
				Fix: fmt.Sprintf("make it with `docker volume create %s`, or correct its name", v.Name),
			})
			continue
		case bool(v.External):
			continue
		case at < 0:
			node.Action = Create
		default:
			found := m.observed.Volumes[at]
			hash, err := compose.VolumeHash(v)
			made, known := found.Labels[api.ConfigHashLabel]
			if err == nil && known && made != hash {
				node.Reasons = append(m.compared(path, volumeFields(found), desiredVolume(v, found)),
					stated(path, "configuration hash differs; the volume stays as it is, since making it again would lose what is in it"))
			}
		}
		m.add(node)
	}
}

func volumeFields(v ObservedVolume) fields {
	f := fields{}
	f.set("driver", v.Driver)
	f.each("labels", ownLabels(v.Labels))
	f.each("driver_opts", v.Options)
	return f
}

func desiredVolume(v types.VolumeConfig, found ObservedVolume) fields {
	f := fields{}
	f.set("driver", v.Driver)
	if v.Driver == "" {
		f.set("driver", found.Driver)
	}
	f.each("labels", v.Labels)
	f.each("driver_opts", v.DriverOpts)
	return f
}

// orphans sorts out which containers belong to which service, and which to none.
func (m *maker) orphans() {
	services := append(m.Project.ServiceNames(), m.Project.DisabledServiceNames()...)
	for _, c := range m.observed.Containers {
		path, why := "services."+c.Service, "the files have no such service"
		switch {
		case c.OneOff && c.State != "exited" && c.State != "dead":
			continue
		case c.OneOff:
			why = "left over from a `run`"
		case m.replacement(c):
			m.add(Node{Kind: Container, Name: c.Name, Key: c.Service, Action: Remove, BeyondCompose: true, Reasons: []Reason{
				stated(path+".container_name", "left over from an `up` that was ended while it replaced a container"),
			}})
			continue
		case slices.Contains(services, c.Service):
			m.containers[c.Service] = append(m.containers[c.Service], c)
			continue
		}
		node := Node{Kind: Container, Name: c.Name, Key: c.Service, Action: Leave, Reasons: []Reason{stated(path, "%s", why)}}
		if m.RemoveOrphans {
			node.Action = Remove
		}
		m.add(node)
	}
}

// replacement says that a container is one that Compose made to take another's
// place, and that did not get that one's name: Compose would leave it under the
// name for the time in between. One that runs serves nobody who asks by name.
func (m *maker) replacement(c ObservedContainer) bool {
	s, ok := m.Project.Services[c.Service]
	if !ok {
		return false
	}
	prefix, isTemporary := strings.CutSuffix(c.Name, "_"+containerName(m.Project, s, c.Number))
	return isTemporary && temporaryName.MatchString(prefix)
}

// temporaryName is what Compose puts before a name for the time in between: the
// beginning of the other container's ID.
var temporaryName = regexp.MustCompile(`^[0-9a-f]{12}$`)

// dependencyOrder are the services' names, what others depend on first, by name
// where nothing decides.
func dependencyOrder(project *types.Project) []string {
	var order []string
	seen := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		s, ok := project.Services[name]
		if !ok || seen[name] {
			return
		}
		seen[name] = true
		for _, dependency := range slices.Sorted(maps.Keys(s.DependsOn)) {
			visit(dependency)
		}
		order = append(order, name)
	}
	for _, name := range slices.Sorted(maps.Keys(project.Services)) {
		visit(name)
	}
	return order
}
