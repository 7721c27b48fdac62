package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/readiness"
	"github.com/inmanta/inmanta-docker/topology"
)

func (a *app) sshVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "ssh [SSH OPTIONS] [--] [COMMAND…]",
		Short: "Log in to the ssh sidecar, or run a command there",
		Long: `Log in to the ssh sidecar, or run a command there, with this machine's own OpenSSH
client. Its address is looked up, and its host keys come from the container, so
that nothing is asked and nobody in between can be taken for it. Whatever stands
before the command is for ssh: -i, -A, -L, -t and so on. As with ssh, the words of
the command are one line for a shell over there.

With --known-hosts, print the host keys for a known_hosts file instead, under the
address at which other tools reach the sidecar.

Exit codes: ssh's own, which are the command's, or 255 where it could not log in;
1 where there is nothing to log in to.`,
		Example: `  inmanta-docker ssh
  inmanta-docker ssh ls -l /var/log/inmanta
  inmanta-docker ssh -L 8888:server:8888
  inmanta-docker ssh --known-hosts >> ~/.ssh/known_hosts`,
		DisableFlagParsing:    true,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			request, err := parseSSH(args)
			if err != nil {
				return err
			}
			if request.help {
				return cmd.Help()
			}
			return a.ssh(cmd.Context(), request)
		},
	}
}

func (a *app) ssh(ctx context.Context, request sshRequest) error {
	d, stack, err := a.open(ctx)
	if err != nil {
		return err
	}
	if _, ok := stack.Project.Services[topology.SSH]; !ok {
		return missingOverlay(d, topology.SSH, "ssh sidecar")
	}
	e, err := a.reach(ctx)
	if err != nil {
		return err
	}
	defer e.Close()
	s := survey{deployment: d, stack: stack, engine: e}
	c, err := s.sidecarContainer(ctx, topology.SSH, "ssh sidecar")
	if err != nil {
		return err
	}
	if c.Health == "starting" {
		limited, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := s.waitFor(limited, topology.SSH, progress.Discard); err != nil {
			return a.showFailure(limited, a.ui(), s, err)
		}
	}
	access, err := askSSH(ctx, e, c)
	if err != nil {
		return err
	}
	if access.Command == "" {
		return problem.Problem{
			ID: "ssh-unreachable", Where: c.Name, What: fmt.Sprintf("it listens where only the engine's own machine reaches it, and that is another one (%s)", e.Host()),
			Fix: "publish it on an address of that machine (INMANTA_SSH_SIDECAR_IP in .env, then inmanta-docker up), or log in from there",
		}
	}
	if request.knownHosts {
		_, err := fmt.Fprint(a.streams.Out, knownHosts(access.Host, access.Port, access.HostKeys))
		return err
	}
	client, err := exec.LookPath("ssh")
	if err != nil {
		return problem.Problem{
			ID: "no-ssh-client", Where: "ssh", What: "there is no OpenSSH client on this machine",
			Fix: "install it (on Debian and Ubuntu: apt-get install openssh-client), or use another client: inmanta-docker status has the address and the host keys", Err: err,
		}
	}
	file, err := keepKnownHosts(stack.Project.Name, e.Host(), c.Name, access.HostKeys)
	if err != nil {
		return err
	}
	if err := e.Close(); err != nil {
		return err
	}
	// This process becomes the client: terminal, signals and exit code are its own.
	err = syscall.Exec(client, clientArguments(access, c.Name, file, request), os.Environ())
	return fmt.Errorf("starting %s: %w", client, err)
}

// missingOverlay is the problem that the topology lacks an overlay, and so what it has.
func missingOverlay(d deployment.Deployment, overlay, what string) problem.Problem {
	var files []string
	for _, f := range d.Files {
		files = append(files, "-f "+f.Name())
	}
	return problem.Problem{
		ID: "no-" + strings.ReplaceAll(what, " ", "-"), Where: d.Dir, What: "this deployment has no " + what,
		Fix: fmt.Sprintf("add it: inmanta-docker %s -f %s up", strings.Join(files, " "), deployment.OverlayFile(overlay)),
	}
}

// sidecarContainer is a sidecar's container, which runs and is not known to be unwell.
func (s survey) sidecarContainer(ctx context.Context, service, what string) (readiness.Container, error) {
	containers, err := readiness.Observe(ctx, s.engine.API(), s.stack.Project.Name)
	if err != nil {
		return readiness.Container{}, err
	}
	for _, c := range containers {
		if c.Service != service {
			continue
		}
		p := problem.Problem{ID: service + "-down", Where: c.Name, Fix: "start it: inmanta-docker up"}
		switch {
		case c.State == "paused":
			p.What, p.Fix = "the "+what+" is paused", "docker unpause "+c.Name
		case c.State != "running":
			p.What = "the " + what + " does not run: it is " + containerState(c)
		case c.Health == "unhealthy":
			p.ID, p.What, p.Fix = service+"-unhealthy", "the "+what+" is unhealthy", "see what it says: inmanta-docker logs "+service
			if len(c.Probes) > 0 && c.Probes[len(c.Probes)-1].Output != "" {
				p.What += ": " + c.Probes[len(c.Probes)-1].Output
			}
		default:
			return c, nil
		}
		return c, p
	}
	return readiness.Container{}, problem.Problem{
		ID: service + "-down", Where: s.deployment.Dir, What: "the " + what + " has no container", Fix: "start it: inmanta-docker up",
	}
}

// Where the ssh sidecar listens in its container, whom it lets in, and where its
// binary is there.
const (
	sshPort     = 22
	sshUser     = "inmanta"
	sidecarPath = "/usr/local/bin/" + deployment.SidecarFile
)

// sshAccess is how to reach the ssh sidecar.
type sshAccess struct {
	// Command is what to type here; empty where it cannot be reached from here.
	Command string `json:"command,omitempty"`
	Host    string `json:"host,omitempty"`
	Port    int    `json:"port,omitempty"`
	User    string `json:"user"`
	// HostKeys are what it proves itself with, in the order in which it offers them.
	HostKeys []hostKey `json:"host_keys"`
}

// sshAddress is how to reach the container's ssh server from here, from what the
// engine at daemon says.
func sshAddress(c readiness.Container, daemon string) sshAccess {
	access := sshAccess{User: sshUser, HostKeys: []hostKey{}}
	for _, at := range c.Reachable(sshPort, daemon) {
		host, port, _ := net.SplitHostPort(at)
		access.Host = host
		access.Port, _ = strconv.Atoi(port)
		access.Command = "ssh " + sshUser + "@" + host
		if access.Port != sshPort {
			access.Command = fmt.Sprintf("ssh -p %d %s@%s", access.Port, sshUser, host)
		}
		break
	}
	return access
}

// askSSH is how to reach the container's ssh server, with its host keys.
func askSSH(ctx context.Context, e *engine.Engine, c readiness.Container) (sshAccess, error) {
	access := sshAddress(c, e.Host())
	answer, err := e.Exec(ctx, c.ID, []string{sidecarPath, "ssh", "host-keys"}, "")
	if err == nil && answer.ExitCode != 0 {
		err = errors.New(answer.Stderr)
	}
	if err == nil {
		access.HostKeys, err = parseHostKeys(answer.Stdout)
	}
	if err != nil {
		return access, problem.Problem{
			ID: "ssh-host-keys", Where: c.Name, What: fmt.Sprintf("its host keys could not be had: %v", err),
			Fix: "see what it says: inmanta-docker logs " + topology.SSH, Err: err,
		}
	}
	return access, nil
}
