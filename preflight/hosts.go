package preflight

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/inmanta/inmanta-docker/certificates"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/topology"
)

// soon is how long before its end a certificate is warned of: both databases are
// restarted with new ones, which takes a quiet hour.
const soon = 30 * 24 * time.Hour

// makeCertificates is how to get them.
const makeCertificates = "on the machine that has ca.key, or the first: inmanta-docker db certificates --host db=… --host db-replica=…; " +
	"the other gets its ca.crt, db-replica.crt and db-replica.key"

// PairFiles is what one of two databases on two machines proves itself by.
type PairFiles struct {
	// Folder is where they are on this host.
	Folder string
	// Authority, Own and Peer are the certificates, in PEM; that of the peer is only
	// on the machine where they were made. Nil where there is none.
	Authority, Own, Peer []byte
	// Trouble is what cannot be read, or does not belong together.
	Trouble string
}

// host is one of two databases on two machines, as its service has it.
type host struct {
	name, peer string
	service    types.ServiceConfig
	// folder is where its certificates are; empty where that is on no host.
	folder string
}

// hostOf is the project's; ok is false for most projects.
func hostOf(project *types.Project) (h host, ok bool) {
	for i, name := range []string{topology.Database, topology.Replica} {
		service := project.Services[name]
		inside := service.Environment["INMANTA_PAIR_TLS"]
		if !runsAgent(service) || inside == nil || *inside == "" {
			continue
		}
		h = host{name: name, peer: []string{topology.Replica, topology.Database}[i], service: service}
		if m, found := bindOf(service, *inside); found {
			h.folder = m.Path()
		}
		return h, true
	}
	return h, false
}

// readPair reads what is in its folder, if that is there.
func readPair(h host) *PairFiles {
	if _, err := os.Stat(h.folder); err != nil {
		return nil
	}
	f := PairFiles{Folder: h.folder}
	for file, into := range map[string]*[]byte{"ca": &f.Authority, h.name: &f.Own, h.peer: &f.Peer} {
		text, err := os.ReadFile(filepath.Join(h.folder, file+".crt"))
		*into = text
		if err != nil && file != h.peer {
			f.Trouble = unwrapped(err)
		}
	}
	key, err := os.ReadFile(filepath.Join(h.folder, h.name+".key"))
	switch {
	case f.Trouble != "" || os.IsPermission(err): // the container's root may read what this user may not
	case err != nil:
		f.Trouble = unwrapped(err)
	default:
		if _, err := tls.X509KeyPair(f.Own, key); err != nil {
			f.Trouble = fmt.Sprintf("%[1]s.crt and %[1]s.key: %[2]v", h.name, err)
		}
	}
	return &f
}

func unwrapped(err error) string {
	text := err.Error()
	return strings.TrimPrefix(text, "open ")
}

// hosts judges what one of two machines is told of the other.
func (r *report) hosts() {
	h, ok := hostOf(r.stack.Project)
	if !ok {
		return
	}
	address := h.told("INMANTA_PAIR_PEER_HOST")
	if address == "" {
		r.refuse(problem.Problem{
			ID: "peer-missing", Where: settings.PeerHost, What: "it is not said where the other machine's database is reached",
			Fix: fmt.Sprintf("name it: echo %s=10.0.0.2 >> %s", settings.PeerHost, r.envFile()),
		})
	}
	if secret, from, set := r.deployment.Setting(settings.ReplicationSecret); !set || secret == defaultOf(settings.ReplicationSecret) {
		where := settings.ReplicationSecret + " (default)"
		if set {
			where = from.Place()
		}
		r.refuse(problem.Problem{
			ID: "replication-password", Where: where,
			What: "the databases know each other by a password that everybody knows, and are reached over a network",
			Fix:  fmt.Sprintf("set %s in %s, the same on both machines (inmanta-docker init generates one)", settings.ReplicationSecret, r.envFile()),
		})
	}
	for _, p := range publications(r.stack.Project) {
		if p.Service == h.name && p.IP.IsLoopback() {
			where, _ := r.place("services."+h.name+".ports", p.IP.String())
			r.warn(problem.Problem{
				ID: "peer-shut-out", Where: where,
				What: fmt.Sprintf("%s is published on %s, where the other machine cannot reach it", h.name, p.IP),
				Fix:  fmt.Sprintf("set %s to an address of this host that the other machine reaches", settings.DatabaseIP),
			})
		}
	}
}

// told is what the service's environment has.
func (h host) told(name string) string {
	if value := h.service.Environment[name]; value != nil {
		return *value
	}
	return ""
}

func defaultOf(setting string) string {
	s, _ := settings.Find(setting)
	return s.Default
}

// certificates judges what the databases of two machines prove themselves by.
func (r *report) certificates() {
	h, ok := hostOf(r.stack.Project)
	files := r.facts.Certificates
	if !ok || files == nil {
		return
	}
	refuse := func(file, what string) {
		r.refuse(problem.Problem{ID: "certificate", Where: filepath.Join(files.Folder, file), What: what, Fix: makeCertificates})
	}
	if files.Trouble != "" {
		refuse("", "the certificates cannot be used: "+files.Trouble)
		return
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(files.Authority) {
		refuse("ca.crt", "it holds no certificate")
		return
	}
	judge := func(name string, text []byte, hosts ...string) {
		file := name + ".crt"
		one, err := certificates.Parse(text)
		if err != nil {
			refuse(file, err.Error())
			return
		}
		if _, err := one.Verify(x509.VerifyOptions{Roots: authorities, CurrentTime: r.facts.Now}); err != nil {
			refuse(file, fmt.Sprintf("it proves nothing: %v", err))
			return
		}
		for _, host := range hosts {
			if err := one.VerifyHostname(host); err != nil {
				refuse(file, fmt.Sprintf("it is not good for %s, by which %s is reached: it has %s", host, name, strings.Join(append(one.DNSNames, certificates.Hosts(one)...), ", ")))
			}
		}
		if left := one.NotAfter.Sub(r.facts.Now); left < soon {
			r.warn(problem.Problem{
				ID: "certificate-ends", Where: filepath.Join(files.Folder, file),
				What: fmt.Sprintf("it ends on %s, and nobody believes %s from then on", one.NotAfter.Format(time.DateOnly), name), Fix: makeCertificates,
			})
		}
	}
	var own []string
	if _, orchestrator := r.stack.Project.Services[topology.Orchestrator]; orchestrator {
		own = append(own, h.name) // as the orchestrator, beside it, reaches it
	}
	for _, p := range publications(r.stack.Project) {
		if p.Service == h.name && p.Port == h.port() && outside(p.IP) && !named(files.Own, h.name) {
			own = append(own, p.IP.String())
		}
	}
	judge(h.name, files.Own, own...)
	if peer := strings.Trim(h.told("INMANTA_PAIR_PEER_HOST"), "[]"); files.Peer != nil && peer != "" {
		judge(h.peer, files.Peer, peer)
	}
}

// named says that a certificate has names of its own besides the node's: then the
// other machine may use those.
func named(text []byte, node string) bool {
	one, err := certificates.Parse(text)
	return err == nil && slices.ContainsFunc(one.DNSNames, func(name string) bool { return name != node })
}

// port is where the host publishes the database itself.
func (h host) port() string {
	for _, p := range h.service.Ports {
		if p.Target == 5432 {
			return p.Published
		}
	}
	return ""
}

// outside says that an address is one by which another machine reaches this one.
func outside(ip netip.Addr) bool { return !ip.IsLoopback() && !ip.IsUnspecified() }
