package command

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/certificates"
	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/settings"
	"github.com/inmanta/inmanta-docker/topology"
)

func (a *app) dbCertificatesVerb() *cobra.Command {
	var hosts []string
	verb := &cobra.Command{
		Use:   "certificates",
		Short: "Make the certificates of two databases on two machines, or renew them",
		Long: `Make the certificates by which two databases on two machines know each other, and the
orchestrator knows them, in the folder tls of the deployment's directory: an authority,
and one certificate for each database, which is good for its name and the hosts given.

An authority that is there is kept, so that what it signed before goes on being trusted:
to renew, run this again on the machine that has ca.key, copy the other machine's files
to it, and restart both databases, one after the other. Hosts that are not given are
taken from the certificates that are there.`,
		Example: `  inmanta-docker db certificates --host db=10.0.0.1 --host db-replica=10.0.0.2
  inmanta-docker db certificates`,
		Args: cobra.NoArgs,
		RunE: func(_ *cobra.Command, _ []string) error { return a.dbCertificates(hosts) },
	}
	verb.Flags().StringArrayVar(&hosts, "host", nil, "A name or address by which a database is reached from the other machine: `NODE=HOST`, once for each")
	return verb
}

func (a *app) dbCertificates(hosts []string) error {
	d, err := deployment.Open(a.request)
	if err != nil {
		return err
	}
	folder := filepath.Join(d.Dir, certificates.Folder)
	nodes, err := certified(folder, hosts)
	if err != nil {
		return err
	}
	u := a.ui()
	made, err := certificates.Make(folder, nodes, time.Now())
	for _, name := range made.Kept {
		u.Note("", "kept "+filepath.Join(folder, name))
	}
	for _, name := range made.Written {
		u.Note(progress.Done, "wrote "+filepath.Join(folder, name))
	}
	if err != nil {
		return err
	}
	for _, node := range nodes {
		written, err := certificates.Read(folder, node.Name)
		if err != nil {
			return err
		}
		u.Note("", fmt.Sprintf("%s is good for %s, until %s", node.Name, strings.Join(node.Hosts, " and "), written.NotAfter.Format(time.DateOnly)))
	}
	u.Note("", fmt.Sprintf("Next: copy ca.crt, %[1]s.crt and %[1]s.key to the folder %[2]s of the other machine, and never ca.key: who has it can pass for either", topology.Replica, certificates.Folder))
	u.Note("", "Databases that run take new certificates when they are restarted: inmanta-docker restart db here, and, once db status says that both are in step, inmanta-docker restart db-replica there")
	return u.Err()
}

// certified are both databases with the hosts given for them, else those of the
// certificates in the folder.
func certified(folder string, hosts []string) ([]certificates.Node, error) {
	given := map[string][]string{topology.Database: nil, topology.Replica: nil}
	var problems problem.List
	for _, one := range hosts {
		node, host, _ := strings.Cut(one, "=")
		host = strings.Trim(host, "[]")
		_, known := given[node]
		if !known || !isHost(host) {
			problems = append(problems, problem.Problem{
				ID: "certificate-host", Where: "--host " + one, What: "it does not say which database is reached by which name or address",
				Fix: fmt.Sprintf("write --host %s=10.0.0.1, or --host %s=name.example.com", topology.Database, topology.Replica),
			})
			continue
		}
		given[node] = append(given[node], host)
	}
	var nodes []certificates.Node
	for _, name := range []string{topology.Database, topology.Replica} {
		node := certificates.Node{Name: name, Hosts: given[name]}
		if len(node.Hosts) == 0 && len(problems) == 0 {
			before, err := certificates.Read(folder, name)
			if err == nil {
				node.Hosts = certificates.Hosts(before)
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, problem.Problem{ID: "certificate-unreadable", Where: folder, What: err.Error(), Fix: "say what it is to be good for: --host " + name + "=…", Err: err}
			}
		}
		if len(node.Hosts) == 0 && len(problems) == 0 {
			problems = append(problems, problem.Problem{
				ID: "certificate-host", Where: "--host", What: fmt.Sprintf("it is not said how %s is reached from the other machine", name),
				Fix: fmt.Sprintf("add --host %s=ADDRESS", name),
			})
		}
		nodes = append(nodes, node)
	}
	return nodes, problems.OrNil()
}

// isHost says whether a certificate can be good for it: an address, or a name.
func isHost(host string) bool { return net.ParseIP(host) != nil || settings.IsHostName(host) }
