package preflight

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/inmanta/inmanta-docker/problem"
)

// published is one endpoint that a service wants.
type published struct {
	Service string
	// Port is the number, as the project has it.
	Port string
	Endpoint
}

// publications are all endpoints that the project's services want on the host.
// Where the engine may choose the port (none given, or a range) nothing is
// wanted in particular.
func publications(project *types.Project) []published {
	var all []published
	for _, name := range project.ServiceNames() {
		for _, p := range project.Services[name].Ports {
			number, err := strconv.ParseUint(p.Published, 10, 16)
			if err != nil || number == 0 {
				continue
			}
			for _, ip := range addresses(p.HostIP) {
				protocol := p.Protocol
				if protocol == "" {
					protocol = tcp
				}
				all = append(all, published{
					Service: name, Port: p.Published, Endpoint: Endpoint{IP: ip, Port: uint16(number), Protocol: protocol},
				})
			}
		}
	}
	return all
}

// addresses are what a host IP in a compose file stands for; one that is none
// is refused elsewhere.
func addresses(hostIP string) []netip.Addr {
	if hostIP == "" {
		return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	}
	ip, err := netip.ParseAddr(strings.Trim(hostIP, "[]"))
	if err != nil {
		return nil
	}
	return []netip.Addr{ip.Unmap()}
}

// holder is the running container that holds an endpoint.
func holder(e Endpoint, containers []Container) (Container, bool) {
	for _, c := range containers {
		if c.Running && slices.ContainsFunc(c.Published, e.clashes) {
			return c, true
		}
	}
	return Container{}, false
}

// unheld are the endpoints that the project wants and no container holds: what
// else may be in the way only the host can tell.
func unheld(project *types.Project, containers []Container) []Endpoint {
	var free []Endpoint
	for _, p := range publications(project) {
		if _, held := holder(p.Endpoint, containers); !held && !slices.Contains(free, p.Endpoint) {
			free = append(free, p.Endpoint)
		}
	}
	return free
}

// sharedPorts finds services of this project that want the same port.
func (r *report) sharedPorts() {
	all := publications(r.stack.Project)
	for i, second := range all {
		for _, first := range all[:i] {
			if first.clashes(second.Endpoint) && first.Service != second.Service {
				where, _ := r.portPlace(second)
				other, _ := r.portPlace(first)
				r.refuse(problem.Problem{
					ID: "port-twice", Where: where,
					What: fmt.Sprintf("the services %s and %s both want port %s of this host", first.Service, second.Service, second.Port),
					Fix:  fmt.Sprintf("give one of them another port, here or at %s", other),
				})
				break
			}
		}
	}
}

func (r *report) portPlace(p published) (where, setting string) {
	return r.place("services."+p.Service+".ports", p.Port)
}

// ports finds what has the ports that this deployment wants.
func (r *report) ports() {
	for _, p := range publications(r.stack.Project) {
		if c, held := holder(p.Endpoint, r.facts.Containers); held {
			if !r.own(c) {
				r.portTaken(p, "the container "+c.Name+of(c), "docker stop "+c.Name)
			}
			continue
		}
		socket, blocked := r.facts.Sockets[p.Endpoint]
		switch {
		case !blocked:
		case socket.NotHere:
			where, setting := r.place("services."+p.Service+".ports", p.IP.String())
			fix := "write an address of this host (ip address lists them), 127.0.0.1 for this host only or 0.0.0.0 for every network"
			if setting != "" {
				fix = fmt.Sprintf("set %s to an address of this host (ip address lists them), 127.0.0.1 for this host only or 0.0.0.0 for every network", setting)
			}
			r.refuse(problem.Problem{ID: "ip-not-here", Where: where, What: fmt.Sprintf("%s is not an address of this host", p.IP), Fix: fix})
		case r.comesAndGoes(p, socket):
		case socket.PID != 0:
			r.portTaken(p, fmt.Sprintf("the process %s (pid %d)", socket.Command, socket.PID), "stop that process")
		default:
			r.portTaken(p, "another process", fmt.Sprintf("find that process (as root: ss -lptun 'sport = :%s') and stop it", p.Port))
		}
	}
}

// enginesListener is the process that the engine starts for a published port.
const enginesListener = "docker-proxy"

// comesAndGoes says that a socket may well be this service's own: one of its
// containers was not running when the engine was asked, and the engine starts it
// again and again. If it is not, that container's next start says so.
func (r *report) comesAndGoes(p published, s Socket) bool {
	return (s.Command == enginesListener || s.PID == 0) && slices.ContainsFunc(r.facts.Containers, func(c Container) bool {
		return c.Restarting && c.Service == p.Service && r.own(c)
	})
}

// own says that a container belongs to a service of this project, so that its
// ports are this project's already.
func (r *report) own(c Container) bool {
	_, serves := r.stack.Project.Services[c.Service]
	return c.Project == r.stack.Project.Name && serves && !c.OneOff
}

// of is the deployment that a container belongs to, in words.
func of(c Container) string {
	switch {
	case c.Project == "":
		return ""
	case c.Dir == "":
		return " of the project " + c.Project
	}
	return fmt.Sprintf(" of the project %s (%s)", c.Project, c.Dir)
}

func (r *report) portTaken(p published, holder, stop string) {
	where, setting := r.portPlace(p)
	fix := "give it another port, or free this one: " + stop
	if setting != "" {
		fix = fmt.Sprintf("set %s to a free port, or free this one: %s", setting, stop)
	}
	r.refuse(problem.Problem{
		ID: "port-taken", Where: where, What: fmt.Sprintf("port %s is taken by %s", p.Endpoint, holder), Fix: fix,
	})
}
