package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/engine"
	"github.com/inmanta/inmanta-docker/problem"
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
	s, c, err := a.sidecar(ctx, topology.SSH)
	if err != nil {
		return err
	}
	e := s.engine
	defer e.Close()
	if err := unhealthySidecar(c); err != nil {
		return err
	}
	if err := s.settled(ctx, c); err != nil {
		return a.showFailure(ctx, a.ui(), s, err)
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
	file, err := keepKnownHosts(s.stack.Project.Name, e.Host(), c.Name, access.HostKeys)
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

// sshPort is where the ssh sidecar listens in its container.
const sshPort = 22

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
	access := sshAccess{User: sidecarUser, HostKeys: []hostKey{}}
	reachable := c.Reachable(sshPort, daemon)
	if len(reachable) == 0 {
		return access
	}
	host, port, _ := net.SplitHostPort(reachable[0])
	access.Host = host
	access.Port, _ = strconv.Atoi(port)
	access.Command = "ssh " + sidecarUser + "@" + host
	if access.Port != sshPort {
		access.Command = fmt.Sprintf("ssh -p %d %s@%s", access.Port, sidecarUser, host)
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
