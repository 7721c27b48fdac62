package command

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/inmanta/inmanta-docker/backup"
	"github.com/inmanta/inmanta-docker/progress"
	"github.com/inmanta/inmanta-docker/store"
	"github.com/inmanta/inmanta-docker/ui"
)

// listedBackup is one backup as `backup ls` shows it.
type listedBackup struct {
	store.Entry
	// Where is how it is named to restore it.
	Where string `json:"where"`
	// Made is what is remembered of it here; absent for one of another deployment.
	Made *backup.Made `json:"made,omitempty"`
}

func (a *app) backupListVerb() *cobra.Command {
	verb := &cobra.Command{
		Use:   "ls [FOLDER/ | s3://BUCKET/PREFIX/]",
		Short: "List backups, newest first, and when they were verified",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.listBackups(cmd.Context(), strings.Join(args, ""))
		},
	}
	a.jsonFlag(verb, "the list")
	return verb
}

func (a *app) listBackups(ctx context.Context, where string) error {
	d, _, err := a.open(ctx)
	if err != nil {
		return err
	}
	at, err := placeAt(d, where)
	if err != nil {
		return err
	}
	record, err := backup.Remembered(d.Dir)
	if err != nil {
		return err
	}
	entries, err := at.store.List(ctx)
	if err != nil {
		return err
	}
	list := []listedBackup{}
	for _, e := range entries {
		if at.name != "" && e.Name != at.name {
			continue
		}
		one := listedBackup{Entry: e, Where: place{at.store, e.Name}.String()}
		if i := slices.IndexFunc(record.Backups, func(m backup.Made) bool { return m.Where == one.Where }); i >= 0 {
			one.Made = &record.Backups[i]
		}
		list = append(list, one)
	}
	u := a.ui()
	if a.json {
		u.Value(list)
		return u.Err()
	}
	if len(list) == 0 {
		u.Note("", "there is no backup in "+at.store.String())
		return u.Err()
	}
	var rows []ui.Row
	for _, one := range list {
		mark, kind, verified := progress.Done, "", "not here"
		if m := one.Made; m != nil {
			mark, verified = madeMark(*m), verifiedText(*m, time.Now())
			kind = kindText(*m)
		}
		rows = append(rows, ui.Row{Status: mark, Cells: []string{
			one.Name, bytesText(one.Size), strings.ToLower(units.HumanDuration(time.Since(one.Modified))) + " ago", kind, verified,
		}})
	}
	u.Table([]string{"BACKUP", "SIZE", "MADE", "KIND", "VERIFIED"}, rows)
	return u.Err()
}

func kindText(m backup.Made) string {
	kind := "consistent"
	if !m.Consistent {
		kind = "online"
	}
	if m.Encrypted {
		kind += ", encrypted"
	}
	return kind
}

// madeMark is how good a backup is known to be: one that was never restored is a
// hope.
func madeMark(m backup.Made) progress.Status {
	switch {
	case m.Verified == nil:
		return progress.Warning
	case m.Verified.Problem != "":
		return progress.Failed
	}
	return progress.Done
}

// verifiedText says when a backup was last restored to see whether it can be.
func verifiedText(m backup.Made, now time.Time) string {
	switch {
	case m.Verified == nil:
		return "never"
	case m.Verified.Problem != "":
		return "FAILED " + ago(m.Verified.At, now) + ": " + m.Verified.Problem
	}
	return ago(m.Verified.At, now)
}

func ago(t, now time.Time) string {
	return strings.ToLower(units.HumanDuration(now.Sub(t))) + " ago"
}

// backupFact is what status says of backups; nothing where none was ever made.
func backupFact(record backup.Record, now time.Time) []ui.Fact {
	if len(record.Backups) == 0 {
		return nil
	}
	last := record.Backups[0]
	text := fmt.Sprintf("%s, %s, %s; verified: %s", ago(last.Created, now), bytesText(last.Size), kindText(last), verifiedText(last, now))
	if good, ok := record.LastVerified(); ok && good.ID != last.ID {
		text += fmt.Sprintf("; the last that was seen to be restored is of %s", ago(good.Created, now))
	}
	return []ui.Fact{{Key: "backup", Value: text + "\n" + last.Where}}
}
