package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// backupScale makes 5 GB of pgbench's rows, backupPairs is how often they are dumped
	// and restored.
	backupScale, backupPairs = 335, 3
	// haltedResources are those in the environment that is halted, haltedRuns is
	// how often.
	haltedResources, haltedRuns = 2000, 10
)

// backups are the rows that compare backup and restore with pg_dump and pg_restore
// by hand, and say for how long environments are halted.
func backups(ctx context.Context, w *workshop, chosen choice) error {
	rows := []struct {
		what    string
		measure func(context.Context, *workshop) error
	}{
		{"halted", haltedRows},
		{"5 GB", dumpRows},
	}
	for _, row := range rows {
		if !chosen.has("backup: " + row.what) {
			continue
		}
		if _, err := w.command("inmanta-docker", "up")(ctx); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
		err := row.measure(ctx, w)
		if err = errors.Join(err, w.removeAll(context.WithoutCancel(ctx))); err != nil {
			return fmt.Errorf("backup: %s: %w", row.what, err)
		}
	}
	return nil
}

// inDatabase runs a command as postgres beside the server.
func inDatabase(ctx context.Context, command ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "docker", append([]string{"exec", "-u", "postgres", name + "-db"}, command...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", command[0], err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// dumpRows are 5 GB, dumped and restored.
func dumpRows(ctx context.Context, w *workshop) error {
	if _, err := inDatabase(ctx, "pgbench", "-U", "inmanta", "-i", "-q", "-s", strconv.Itoa(backupScale), "inmanta"); err != nil {
		return err
	}
	file, byHand := filepath.Join(w.dir, "bench.inmanta-backup"), filepath.Join(w.dir, "bench.dump")
	shell := func(line string) func(context.Context) (sample, error) {
		return func(ctx context.Context) (sample, error) {
			begin := time.Now()
			if out, err := exec.CommandContext(ctx, "sh", "-euc", line).CombinedOutput(); err != nil {
				return sample{}, fmt.Errorf("%s: %w: %s", line, err, out)
			}
			return sample{took: time.Since(begin)}, nil
		}
	}
	in := "docker exec -i -u postgres " + name + "-db "
	// keep has the other side begin with an empty database, empty ours with no file.
	keep := func(ctx context.Context) error {
		_, err := inDatabase(ctx, "psql", "-U", "inmanta", "-qd", "postgres", "-c", "drop database if exists by_hand", "-c", "create database by_hand template template0", "-c", "checkpoint")
		return err
	}
	empty := func(ctx context.Context) error { return errors.Join(keep(ctx), os.RemoveAll(file)) }
	backup := w.command("inmanta-docker", "backup", file)
	a, b, err := interleave(ctx, backupPairs, empty, backup, shell(in+"pg_dump -Fc --compress=zstd -U inmanta inmanta > "+byHand))
	if err != nil {
		return err
	}
	header("`pg_dump`, `pg_restore`")
	what := fmt.Sprintf("(%d pairs)", backupPairs)
	row("backup of a database of 5 GB, its state volume and the sums of all rows included, beside `pg_dump -Fc --compress=zstd` "+what, "≤ 1.05", seconds(a), seconds(b), "s", 1)
	memory := mebibytes(a)
	if err := os.RemoveAll(file); err != nil {
		return err
	}
	if _, err := backup(ctx); err != nil {
		return err
	}
	a, b, err = interleave(ctx, backupPairs, keep,
		w.command("inmanta-docker", "restore", "--replace", file), shell(in+"pg_restore --no-owner -U inmanta -d by_hand < "+byHand))
	if err != nil {
		return err
	}
	row("restore of the same: checked, loaded, all rows compared, swapped and serving, beside `pg_restore` alone "+what, "≤ 1.05", seconds(a), seconds(b), "s", 1)
	measuredHeader()
	fmt.Printf("| peak memory of the command that takes the backup | %.1f MiB | |\n| of the one that restores it | %.1f MiB | |\n", quantile(memory, 1), quantile(mebibytes(a), 1))
	return nil
}

// haltedRows are for how long an environment is halted whose model has been deployed.
func haltedRows(ctx context.Context, w *workshop) error {
	var project, environment struct{ Data struct{ ID string } }
	put := func(path string, question map[string]string, answer any) error {
		text, err := json.Marshal(question)
		if err != nil {
			return err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodPut, w.api.URL()+path, strings.NewReader(string(text)))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		return json.NewDecoder(response.Body).Decode(answer)
	}
	if err := put("/api/v2/project", map[string]string{"name": "bench"}, &project); err != nil {
		return err
	}
	if err := put("/api/v2/environment", map[string]string{"name": "bench", "project_id": project.Data.ID}, &environment); err != nil {
		return err
	}
	// The rows that a version of a model has; a compile of one would take PyPI.
	id := environment.Data.ID
	model := fmt.Sprintf(`insert into configurationmodel (environment, version, date, total, undeployable, skipped_for_undeployable, is_suitable_for_partial_compiles)
values ('%[1]s', 1, now(), %[2]d, '{}', '{}', true);
insert into resource_set (environment, id) values ('%[1]s', gen_random_uuid());
insert into resource (environment, resource_id, resource_type, agent, attributes, attribute_hash, resource_id_value, resource_set)
select '%[1]s', 'std::testing::NullResource[internal,name=r' || n || ']', 'std::testing::NullResource', 'internal', '{}', md5(n::text), 'r' || n, (select id from resource_set where environment = '%[1]s')
from generate_series(1, %[2]d) n;`, id, haltedResources)
	if out, err := exec.CommandContext(ctx, "docker", "exec", "-u", "postgres", name+"-db", "psql", "-U", "inmanta", "-v", "ON_ERROR_STOP=1", "-qc", model).CombinedOutput(); err != nil {
		return fmt.Errorf("making %d resources: %w: %s", haltedResources, err, out)
	}
	var halted, whole []float64
	for n := range haltedRuns {
		out, err := exec.CommandContext(ctx, filepath.Join(w.tools, "inmanta-docker"), "--project-directory", w.dir, "backup", filepath.Join(w.dir, fmt.Sprintf("%d.inmanta-backup", n)), "--json").Output()
		if err != nil {
			return fmt.Errorf("backup: %w", err)
		}
		var made struct {
			Seconds float64 `json:"seconds"`
			Halted  float64 `json:"halted_seconds"`
		}
		if err := json.Unmarshal(out, &made); err != nil {
			return err
		}
		halted, whole = append(halted, made.Halted), append(whole, made.Seconds)
	}
	measuredHeader()
	for _, r := range []struct {
		what   string
		values []float64
	}{{"environments halted", halted}, {"the whole of it", whole}} {
		fmt.Printf("| a consistent backup of %d resources: %s | %.2f s (%.2f–%.2f, %d runs) | |\n",
			haltedResources, r.what, quantile(r.values, 0.5), quantile(r.values, 0.1), quantile(r.values, 0.9), haltedRuns)
	}
	return nil
}
