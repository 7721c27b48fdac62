package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kballard/go-shellquote"
	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/deployment"
	"github.com/inmanta/inmanta-docker/problem"
	"github.com/inmanta/inmanta-docker/progress"
)

func (a *app) backupScheduleVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "schedule WHEN FOLDER [-- ARGUMENT…]",
		Short: "Write a systemd timer that backs this deployment up",
		Long: `Write a systemd service and a timer that back this deployment up into a folder, such as
/etc/systemd/system: WHEN is hourly, daily, weekly, monthly or any other calendar event
of systemd.time(7), and the arguments are those of backup. A time at which the machine
was off is made up for. What is there already of that name is replaced.`,
		Example: `  sudo inmanta-docker backup schedule daily /etc/systemd/system -- --keep 14
  sudo systemctl daemon-reload`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.scheduleBackup(cmd.Context(), args[0], args[1], args[2:])
		},
	}
}

// unitWord is one argument of a command in a unit file, where % and $ mean
// something inside quotes as well (systemd.service(5), "COMMAND LINES").
func unitWord(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(word) + `"`
}

// timerUnits are the texts of a service and of its timer: of the deployment in dir, with
// a command that runs in the folder at.
func timerUnits(dir, at, when string, words []string) (service, timer string) {
	plain := strings.NewReplacer("%", "%%")
	var command []string
	for _, word := range words {
		command = append(command, unitWord(word))
	}
	service = fmt.Sprintf(`[Unit]
Description=Backup of the Inmanta deployment in %[1]s
Wants=network-online.target
After=docker.service network-online.target

[Service]
Type=oneshot
WorkingDirectory=%[2]s
ExecStart=%[3]s
`, plain.Replace(dir), plain.Replace(at), strings.Join(command, " "))
	timer = fmt.Sprintf(`[Unit]
Description=Backup of the Inmanta deployment in %s

[Timer]
OnCalendar=%s
Persistent=true

[Install]
WantedBy=timers.target
`, plain.Replace(dir), plain.Replace(when))
	return service, timer
}

// backupWords are a command that backs up the deployment that this one is about, from
// the folder that this one runs in, whatever the shell has set here.
func backupWords(program, project string, r deployment.Request, args []string) []string {
	words := []string{program, "--project-name", project}
	for _, flag := range []struct {
		name   string
		values []string
	}{{"--project-directory", []string{r.ProjectDirectory}}, {"--file", r.Files}, {"--with", r.With}, {"--env-file", r.EnvFiles}, {"--profile", r.Composing.Profiles}} {
		for _, value := range flag.values {
			if value != "" {
				words = append(words, flag.name, value)
			}
		}
	}
	if r.Composing.Compatibility {
		words = append(words, "--compatibility")
	}
	return append(append(words, "backup"), args...)
}

func (a *app) scheduleBackup(ctx context.Context, when, folder string, args []string) error {
	d, stack, err := a.open(ctx)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	var problems problem.List
	words := backupWords(self, stack.Project.Name, a.request, args)
	if d.FromStdin() || len(a.request.Env) > 0 {
		problems = append(problems, problem.Problem{ID: "schedule", Where: "backup schedule", What: "a compose file from standard input, and variables given by --env, are not there at night", Fix: "write them to a file, and to .env"})
	}
	for _, text := range append([]string{when, d.Dir, a.request.WorkDir}, words...) {
		if strings.ContainsAny(text, "\r\n") {
			problems = append(problems, problem.Problem{ID: "schedule", Where: fmt.Sprintf("%q", text), What: "a unit file cannot hold a line's end", Fix: "write it without"})
		}
	}
	// What a backup would refuse every night is refused now.
	if err := a.triesBackup(args); err != nil {
		problems = append(problems, problem.In(err)...)
	}
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		problems = append(problems, problem.Problem{ID: "no-directory", Where: folder, What: "there is no such folder", Fix: "name the one that systemd reads: /etc/systemd/system", Err: err})
	}
	if len(problems) > 0 {
		return problems
	}
	name := "inmanta-backup-" + stack.Project.Name
	service, timer := timerUnits(d.Dir, a.request.WorkDir, when, words)
	u := a.ui()
	for _, unit := range []struct{ name, text string }{{name + ".service", service}, {name + ".timer", timer}} {
		path := filepath.Join(folder, unit.name)
		if err := os.WriteFile(path, []byte(unit.text), 0o644); err != nil {
			fix := "make room for it"
			if errors.Is(err, fs.ErrPermission) {
				fix = "do it as root"
			}
			return problem.Problem{ID: "schedule", Where: path, What: fmt.Sprintf("it cannot be written: %v", err), Fix: fix, Err: err}
		}
		u.Note(progress.Done, "wrote "+path)
	}
	u.Note("", "Next: sudo systemctl daemon-reload && sudo systemctl enable --now "+name+".timer")
	return u.Err()
}

// triesBackup says whether backup would take these arguments. A passphrase that is
// asked for is nothing for a timer.
func (a *app) triesBackup(args []string) error {
	verb := a.backupVerb()
	verb.SetArgs(args)
	if err := verb.ParseFlags(args); err != nil {
		return problem.Problem{ID: "schedule", Where: "backup " + shellquote.Join(args...), What: firstLine(err), Fix: "inmanta-docker backup --help", Err: err}
	}
	if err := verb.ValidateArgs(verb.Flags().Args()); err != nil {
		return problem.Problem{ID: "schedule", Where: "backup " + shellquote.Join(args...), What: firstLine(err), Fix: "inmanta-docker backup --help", Err: err}
	}
	if ask, _ := verb.Flags().GetBool("passphrase"); ask {
		return problem.Problem{ID: "schedule", Where: "--passphrase", What: "nobody is there to be asked for it", Fix: "give --recipient, or --passphrase-file"}
	}
	return nil
}
