package dbarchive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/moments"
	"github.com/inmanta/inmanta-docker/sidecar/passwd"
	"github.com/inmanta/inmanta-docker/sidecar/process"
)

// scratch is where a database is brought back, in a container of its own.
const scratch = "/recovered"

// Recovered is the line that says that a database has been brought back, and serves
// by its socket.
const Recovered = "recovered"

// Latest is the word for the last moment that there is.
const Latest = "latest"

// ParseMoment reads a moment as Recover takes it: RFC 3339, or "latest".
func ParseMoment(text string) (time.Time, error) {
	if text == Latest {
		return moments.Latest, nil
	}
	moment, err := time.Parse(time.RFC3339Nano, text)
	if err != nil || moment.IsZero() {
		return time.Time{}, fmt.Errorf("%q is no moment: write it as 2026-11-27T14:00:00Z, or latest", text)
	}
	return moment, nil
}

// Recover brings a deployment's database back as it was at a moment, in a container
// of its own, which has the archive at /db-archive and an empty volume at /recovered.
// It says on out when the database serves, on progress what it does, and goes on
// until the context is done.
func Recover(ctx context.Context, deployment, text string, out, progress io.Writer) error {
	moment, err := ParseMoment(text)
	if err != nil {
		return err
	}
	if err := become(func(account passwd.Account) error { return unix.Chown(scratch, account.UID, account.GID) }); err != nil {
		return err
	}
	reading, err := hold(Folder, deployment+readers, unix.LOCK_SH)
	if err != nil {
		return fmt.Errorf("there is no archive, or it cannot be read: %w", err)
	}
	defer reading.Close()
	all, err := readStretches(Folder, deployment)
	if err != nil {
		return err
	}
	s, from, err := moments.Choose(all, moment)
	if err != nil {
		return err
	}
	fmt.Fprintf(progress, "copying %s\n", from.Name)
	nursery := &process.Nursery{}
	go func() { _ = nursery.Bury(ctx) }() // there is nobody to tell
	data := filepath.Join(scratch, "data")
	if err := run(ctx, nursery, "cp", "-R", filepath.Join(Folder, s.Name, from.Name), data); err != nil {
		return fmt.Errorf("copying the base backup: %w", err)
	}
	if err := unix.Chmod(data, 0o700); err != nil {
		return err
	}
	log := filepath.Join(Folder, s.Name, moments.WAL)
	fmt.Fprintln(progress, "replaying the log")
	err = serve(ctx, nursery, data, log, moment, out)
	if moment != moments.Latest && errors.Is(err, errEarlyEnd) {
		// Nothing was committed between the last that there is and that moment, which
		// the archive has.
		err = serve(ctx, nursery, data, log, moments.Latest, out)
	}
	return err
}

// errEarlyEnd is that the log has nothing that was committed after the moment.
var errEarlyEnd = errors.New("recovery ended before configured recovery target was reached")

// serve replays the log and then serves, and says so, until the context is done.
func serve(ctx context.Context, nursery *process.Nursery, data, log string, moment time.Time, out io.Writer) error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	for name, content := range map[string]string{
		"postgresql.conf": settings(binary, log, moment), "postgresql.auto.conf": "", "recovery.signal": "",
		"pg_hba.conf": "local all all trust\n", "pg_ident.conf": "",
	} {
		if err := os.WriteFile(filepath.Join(data, name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("preparing the recovery: %w", err)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, nursery, "postgres", "-D", data) }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	serving := false
	for {
		select {
		case err := <-ended:
			switch {
			case err == nil:
				err = errors.New("the server has ended")
			case strings.Contains(err.Error(), errEarlyEnd.Error()):
				return errEarlyEnd
			}
			return fmt.Errorf("replaying the log: %w", err)
		case <-tick.C:
		}
		if serving {
			continue
		}
		// It takes nobody in before it has been promoted.
		if row, err := ask(ctx, "SELECT pg_is_in_recovery()", 1); err == nil && string(row[0]) == "f" {
			serving = true
			if _, err := fmt.Fprintln(out, Recovered); err != nil {
				return err
			}
		}
	}
}

// settings are those of a server that replays a log up to a moment, and is of use
// for nothing else: what it writes is not kept.
func settings(binary, log string, moment time.Time) string {
	quoted := func(text string) string { return "'" + strings.NewReplacer(`\`, `\\`, "'", "''").Replace(text) + "'" }
	shell := func(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
	text := `listen_addresses = ''
unix_socket_directories = '` + socketFolder + `'
hot_standby = off
fsync = off
full_page_writes = off
autovacuum = off
max_wal_senders = 0
restore_command = ` + quoted(shell(binary)+" db-archive fetch "+shell(log)+` "%f" "%p"`) + `
recovery_target_action = 'promote'
`
	if moment == moments.Latest {
		return text
	}
	return text + "recovery_target_time = '" + moment.UTC().Format("2006-01-02 15:04:05.999999") + "+00'\nrecovery_target_inclusive = on\n"
}
