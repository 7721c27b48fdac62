package dbdump

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/dumps"
)

// early is an error of an attempt that did not get to a dump.
type early struct{ error }

func (e early) Unwrap() error { return e.error }

// settling is for how long a database is watched that nobody has dumped before: the
// orchestrator may be at making its tables.
const settling = 2 * time.Second

// take makes a dump, of the best server that there is.
func (k *keeper) take(ctx context.Context) (name string, made Made, err error) {
	servers, err := choose(k.config.look(ctx))
	if err != nil {
		return "", Made{}, early{err}
	}
	if servers[0].tables == 0 {
		return "", Made{}, early{fmt.Errorf("there is not a single table in the database %s", k.config.Database)}
	}
	if len(good(k.found)) == 0 {
		if err := k.settled(ctx, servers[0]); err != nil {
			return "", Made{}, early{err}
		}
	}
	var failed []string
	for _, s := range servers {
		name, made, err = k.from(ctx, s)
		if err == nil || ctx.Err() != nil {
			return name, made, err
		}
		// A standby ends what is in the way of its primary, and has no unlogged
		// tables; then the primary is dumped.
		failed = append(failed, fmt.Sprintf("%s: %v", s.Host, err))
		if full(err) {
			break
		}
	}
	return "", Made{}, errors.New(strings.Join(failed, "; "))
}

// settled returns once nobody makes tables any more.
func (k *keeper) settled(ctx context.Context, s server) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(settling):
		}
		k.daemon.pulse.Beat()
		now := k.config.inquire(ctx, s.address)
		if now.err != nil || now.tables == s.tables {
			return now.err
		}
		s = now
	}
}

// stall is how long a dump may go without a byte written. It waits for a lock for
// less than that.
const (
	stall    = 15 * time.Minute
	lockWait = 5 * time.Minute
)

// from dumps one server. What is left of one that fails is removed.
func (k *keeper) from(ctx context.Context, s server) (name string, made Made, err error) {
	begun := k.config.Now()
	// The moment of the last dump may be this one, or ahead of it.
	for name = dumps.Name(k.config.Deployment, begun); k.has(name); name = dumps.Name(k.config.Deployment, begun) {
		begun = begun.Add(time.Second)
	}
	partial := dumps.Partial(name)
	defer func() {
		if err != nil {
			left := []string{partial, dumps.Partial(dumps.Checksum(name))}
			if !k.has(name) {
				left = append(left, dumps.Checksum(name))
			}
			_ = k.folder.remove(left...) // else the next start does
		}
	}()
	k.daemon.running.Store(&Running{Since: begun, Host: s.Host, Role: s.Role()})
	defer k.daemon.running.Store(nil)
	start := time.Now()
	if err := k.dump(ctx, s, partial); err != nil {
		return "", Made{}, err
	}
	k.config.Step("read contents")
	contents, err := k.programs.run(ctx, k.going(partial), "pg_restore", "--list", k.folder.at(partial))
	if err != nil {
		return "", Made{}, fmt.Errorf("what was dumped cannot be read: %w", err)
	}
	entries := countEntries(contents)
	if entries == 0 {
		return "", Made{}, errors.New("what was dumped has nothing in it")
	}
	k.config.Step("read checksum")
	sum, size, err := k.checksum(ctx, k.folder.at(partial))
	if err != nil {
		return "", Made{}, fmt.Errorf("reading what was dumped: %w", err)
	}
	if err := k.folder.publish(name, sum); err != nil {
		return "", Made{}, err
	}
	return name, Made{
		SizeBytes: size, Entries: entries, Host: s.Host, Role: s.Role(), Server: s.version,
		Seconds: time.Since(start).Round(time.Millisecond).Seconds(),
	}, nil
}

// has says whether a dump of that name is there, good or not.
func (k *keeper) has(name string) bool {
	_, err := os.Lstat(k.folder.at(name))
	return err == nil
}

// dump runs pg_dump, which writes the file to the disk itself.
func (k *keeper) dump(ctx context.Context, s server, partial string) error {
	k.config.Step("dump")
	run := func() error {
		_, err := k.programs.run(ctx, k.going(partial), "pg_dump", "--format=custom", "--compress="+k.compression, "--no-password",
			fmt.Sprintf("--lock-wait-timeout=%d", lockWait.Milliseconds()),
			"--file="+k.folder.at(partial), "--dbname="+k.config.connection(s.address)+keepalives)
		return err
	}
	err := run()
	if err != nil && k.compression == zstd && strings.Contains(err.Error(), "does not support compression with zstd") {
		k.compression = gzip
		return run()
	}
	return err
}

// How dumps are compressed, as pg_dump has it: with zstd, which costs less, from
// 16 on and where it was built with it. Older ones take a level of gzip alone.
const (
	zstd = "zstd"
	gzip = "6"
)

var versionForm = regexp.MustCompile(`\(PostgreSQL\) ([0-9]+)`)

// compressionOf is that of the pg_dump which says that of its version.
func compressionOf(version string) string {
	m := versionForm.FindStringSubmatch(version)
	if m == nil {
		return gzip
	}
	if major, err := strconv.Atoi(m[1]); err != nil || major < 16 {
		return gzip
	}
	return zstd
}

// going says whether a program that writes, or reads, that file still gets on.
func (k *keeper) going(name string) func() bool {
	var size int64
	since := time.Now()
	return func() bool {
		k.daemon.pulse.Beat()
		if info, err := os.Stat(k.folder.at(name)); err == nil && info.Size() != size {
			size, since = info.Size(), time.Now()
		}
		return time.Since(since) < stall
	}
}

// checksum writes a file to the disk and reads it back.
func (k *keeper) checksum(ctx context.Context, path string) (sum string, size int64, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	if err := file.Sync(); err != nil {
		return "", 0, err
	}
	digest := sha256.New()
	for {
		const piece = 64 << 20
		n, err := io.CopyN(digest, file, piece)
		size += n
		if errors.Is(err, io.EOF) {
			return hex.EncodeToString(digest.Sum(nil)), size, nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return "", 0, err
		}
		k.daemon.pulse.Beat()
	}
}

// countEntries counts what `pg_restore --list` prints: a line each that begins with
// its number, besides comments.
func countEntries(list string) int {
	count := 0
	for line := range strings.Lines(list) {
		number, _, is := strings.Cut(line, ";")
		if _, err := strconv.ParseUint(number, 10, 64); is && err == nil {
			count++
		}
	}
	return count
}
