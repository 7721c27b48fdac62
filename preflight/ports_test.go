package preflight

import (
	"net/netip"
	"testing"
)

func endpoint(t *testing.T, addr, protocol string) Endpoint {
	t.Helper()
	a, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return Endpoint{IP: a.Addr(), Port: a.Port(), Protocol: protocol}
}

func TestEndpointsClash(t *testing.T) {
	for _, c := range []struct {
		a, aProtocol, b, bProtocol string
		clash                      bool
	}{
		{"127.0.0.1:80", tcp, "127.0.0.1:80", tcp, true},
		{"0.0.0.0:80", tcp, "127.0.0.1:80", tcp, true},
		{"[::]:80", tcp, "[::1]:80", tcp, true},
		{"127.0.0.1:80", tcp, "127.0.0.1:81", tcp, false},
		{"127.0.0.1:80", tcp, "127.0.0.2:80", tcp, false},
		{"127.0.0.1:80", tcp, "127.0.0.1:80", udp, false},
		{"0.0.0.0:80", tcp, "[::]:80", tcp, false},
	} {
		a, b := endpoint(t, c.a, c.aProtocol), endpoint(t, c.b, c.bProtocol)
		if a.clashes(b) != c.clash || b.clashes(a) != c.clash {
			t.Errorf("%s and %s: clash %v, want %v", a, b, a.clashes(b), c.clash)
		}
	}
}

const ownPorts = `services:
  web:
    image: web
    ports: ["127.0.0.1:8888:80", "53:53/udp", "80", "9000-9010:81"]
`

func TestPorts(t *testing.T) {
	at := func(addr string) []Endpoint { return []Endpoint{endpoint(t, addr, tcp)} }
	for name, c := range map[string]struct {
		env      string
		with     map[string]string
		facts    Facts
		problems []want
	}{
		"held by this deployment's own container": {
			facts: Facts{Containers: []Container{{Name: "inmanta-orchestrator", Project: "lab", Service: "server", Running: true, Published: at("127.0.0.1:8888")}}},
		},
		"held by a container that does not run": {
			facts: Facts{Containers: []Container{{Name: "web", Published: at("127.0.0.1:8888")}}},
		},
		"held now and then by its own container that ends again and again": {
			facts: Facts{
				Containers: []Container{{Name: "inmanta-orchestrator", Project: "lab", Service: "server", Restarting: true}},
				Sockets:    map[Endpoint]Socket{endpoint(t, "127.0.0.1:8888", tcp): {PID: 17, Command: "docker-proxy"}},
			},
		},
		"held by a process while its own container ends again and again": {
			facts: Facts{
				Containers: []Container{{Name: "inmanta-orchestrator", Project: "lab", Service: "server", Restarting: true}},
				Sockets:    map[Endpoint]Socket{endpoint(t, "127.0.0.1:8888", tcp): {PID: 17, Command: "nginx"}},
			},
			problems: []want{{"port-taken", "INMANTA_ORCHESTRATOR_PORT (default)", "taken by the process nginx (pid 17)", "set INMANTA_ORCHESTRATOR_PORT to a free port"}},
		},
		"held by the engine for nobody of this deployment": {
			facts: Facts{
				Containers: []Container{{Name: "other", Project: "prod", Service: "server", Restarting: true}},
				Sockets:    map[Endpoint]Socket{endpoint(t, "127.0.0.1:8888", tcp): {PID: 17, Command: "docker-proxy"}},
			},
			problems: []want{{"port-taken", "INMANTA_ORCHESTRATOR_PORT (default)", "taken by the process docker-proxy (pid 17)", "set INMANTA_ORCHESTRATOR_PORT to a free port"}},
		},
		"held by another deployment": {
			env: "INMANTA_ORCHESTRATOR_PORT=9999\n",
			facts: Facts{Containers: []Container{{
				Name: "prod-orchestrator", Project: "prod", Service: "server", Dir: "/srv/prod", Running: true, Published: at("0.0.0.0:9999"),
			}}},
			problems: []want{{
				"port-taken", ".env:1", "port 127.0.0.1:9999 is taken by the container prod-orchestrator of the project prod (/srv/prod)",
				"set INMANTA_ORCHESTRATOR_PORT to a free port, or free this one: docker stop prod-orchestrator",
			}},
		},
		"held by a service that the topology no longer has": {
			facts:    Facts{Containers: []Container{{Name: "lab-old-1", Project: "lab", Service: "old", Running: true, Published: at("127.0.0.1:8888")}}},
			problems: []want{{"port-taken", "INMANTA_ORCHESTRATOR_PORT (default)", "lab-old-1 of the project lab", "docker stop lab-old-1"}},
		},
		"held by a process": {
			facts: Facts{Sockets: map[Endpoint]Socket{endpoint(t, "127.0.0.1:8888", tcp): {PID: 17, Command: "nginx"}}},
			problems: []want{{
				"port-taken", "INMANTA_ORCHESTRATOR_PORT (default)", "taken by the process nginx (pid 17)", "set INMANTA_ORCHESTRATOR_PORT to a free port",
			}},
		},
		"held by a process that may not be seen": {
			facts:    Facts{Sockets: map[Endpoint]Socket{endpoint(t, "127.0.0.1:8888", tcp): {}}},
			problems: []want{{"port-taken", "INMANTA_ORCHESTRATOR_PORT (default)", "taken by another process", "ss -lptun 'sport = :8888'"}},
		},
		"an address of another host": {
			env:      "INMANTA_ORCHESTRATOR_IP=192.0.2.1\n",
			facts:    Facts{Sockets: map[Endpoint]Socket{endpoint(t, "192.0.2.1:8888", tcp): {NotHere: true}}},
			problems: []want{{"ip-not-here", ".env:1", "192.0.2.1 is not an address of this host", "set INMANTA_ORCHESTRATOR_IP to"}},
		},
		"two services of the project want it": {
			with: map[string]string{"own.yml": ownPorts},
			problems: []want{{
				"port-twice", "own.yml:4", "the services server and web both want port 8888", "or at INMANTA_ORCHESTRATOR_PORT (default)",
			}},
		},
		"a port of the user's own file": {
			env:  "INMANTA_ORCHESTRATOR_PORT=1\n",
			with: map[string]string{"own.yml": ownPorts},
			facts: Facts{Sockets: map[Endpoint]Socket{
				endpoint(t, "0.0.0.0:53", udp): {PID: 1, Command: "dns"},
				endpoint(t, "0.0.0.0:53", tcp): {PID: 2, Command: "not this protocol"},
			}},
			problems: []want{{"port-taken", "own.yml:4", "port 0.0.0.0:53/udp is taken by the process dns", "give it another port"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t).write(c.with).write(map[string]string{".env": c.env})
			for file := range c.with {
				l.with(file)
			}
			d, s := l.open()
			f := fine(s)
			f.Containers, f.Sockets = c.facts.Containers, c.facts.Sockets
			problems, warnings := Check(d, s, f)
			l.expect("problem", problems, c.problems...)
			l.expect("warning", warnings)
		})
	}
}
