package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// sshPairs is how often what takes seconds is compared.
const sshPairs = 7

// What is sent back and forth.
const (
	bigSize   = 1 << 30
	manyFiles = 10_000
	smallSize = 4 << 10
)

// sshServers are the rows that compare the ssh sidecar with OpenSSH's server:
// the same client, on loopback, with the same cipher (aes128-gcm), the same key
// exchange (curve25519) and ed25519 keys. Each server is in a container of the
// orchestrator's image, ours as in its overlay; files are in memory.
func sshServers(ctx context.Context, w *workshop, chosen choice) error {
	if err := sshStartRows(ctx, w, chosen); err != nil {
		return err
	}
	rows := chosenRows(sshRows, chosen)
	memory := chosen.has("ssh: memory")
	if len(rows) == 0 && !memory {
		return nil
	}
	d, err := newDuel(ctx, w)
	if err != nil {
		return err
	}
	defer d.close()
	if memory {
		if err := d.memoryRows(ctx); err != nil {
			return fmt.Errorf("ssh: memory: %w", err)
		}
	}
	if len(rows) > 0 {
		fmt.Printf("\n%s beside %s, client %s.\n", "The ssh sidecar", d.version, d.clientVersion)
		header("`sshd`")
	}
	for _, r := range rows {
		if err := d.compare(ctx, r); err != nil {
			return fmt.Errorf("ssh: %s: %w", r.what, err)
		}
	}
	return nil
}

// sshRow is one thing that a client does.
type sshRow struct {
	what  string
	pairs int
	// line is what the client runs, in a shell; $host is the server's name to
	// it, $F its configuration, $here its files, /bench those of the server.
	line string
	// times is how often the line does it: what is shown is for one.
	times int
	// bytes is what it sends, 0 where what counts is how long it takes.
	bytes int64
}

// sshRows are in the order in which they are shown. Where a transfer puts its
// files is empty before each.
var sshRows = []sshRow{
	{what: "`ssh HOST true`, one after the other", pairs: pairs, times: 10, line: `for i in 1 2 3 4 5 6 7 8 9 10; do ssh -F $F $host true || exit; done`},
	{what: "`ssh HOST true`, 50 at once", pairs: pairs, line: `
		for i in $(seq 50); do ssh -F $F $host true & all="$all $!"; done
		for one in $all; do wait $one || exit; done`},
	{what: "`ssh HOST cat FILE`, 1 GiB", bytes: bigSize, line: `ssh -F $F $host cat /bench/big >/dev/null`},
	{what: "`ssh HOST 'cat >/dev/null'`, 1 GiB", bytes: bigSize, line: `head -c 1G /dev/zero | ssh -F $F $host 'cat >/dev/null'`},
	{what: "`sftp` get, 1 GiB", bytes: bigSize, line: `echo get /bench/big $here/to/big | sftp -q -F $F -b - $host`},
	{what: "`sftp` put, 1 GiB", bytes: bigSize, line: `echo put $here/big /bench/to/big | sftp -q -F $F -b - $host`},
	{what: "`sftp` get, 10,000 files of 4 KiB", bytes: manyFiles * smallSize, line: `echo get -r /bench/many $here/to/many | sftp -q -F $F -b - $host`},
	{what: "`sftp` put, 10,000 files of 4 KiB", bytes: manyFiles * smallSize, line: `echo put -r $here/many /bench/to/many | sftp -q -F $F -b - $host`},
	{what: "`scp` get, 1 GiB", bytes: bigSize, line: `scp -q -F $F $host:/bench/big $here/to/`},
	{what: "`scp` put, 1 GiB", bytes: bigSize, line: `scp -q -F $F $here/big $host:/bench/to/`},
	{what: "`scp -O` get, 1 GiB", bytes: bigSize, line: `scp -O -q -F $F $host:/bench/big $here/to/`},
	{what: "`scp -O` put, 1 GiB", bytes: bigSize, line: `scp -O -q -F $F $here/big $host:/bench/to/`},
	{what: "`rsync` get, 1 GiB", bytes: bigSize, line: `rsync -e "ssh -F $F" $host:/bench/big $here/to/`},
	{what: "`rsync` put, 1 GiB", bytes: bigSize, line: `rsync -e "ssh -F $F" $here/big $host:/bench/to/`},
	{what: "`rsync -rl` get, 10,000 files of 4 KiB", bytes: manyFiles * smallSize, line: `rsync -rl -e "ssh -F $F" $host:/bench/many $here/to/`},
	{what: "`rsync -rl` put, 10,000 files of 4 KiB", bytes: manyFiles * smallSize, line: `rsync -rl -e "ssh -F $F" $here/many $host:/bench/to/`},
}

func chosenRows(rows []sshRow, chosen choice) []sshRow {
	var some []sshRow
	for _, r := range rows {
		if chosen.has("ssh: " + r.what) {
			some = append(some, r)
		}
	}
	return some
}

// compare measures one row and prints it: how fast it is, and what it takes of
// the server's processors.
func (d *duel) compare(ctx context.Context, r sshRow) error {
	times := max(r.times, 1)
	label := r.what
	if r.pairs == 0 {
		r.pairs = sshPairs
		label += fmt.Sprintf(" (%d pairs)", r.pairs)
	}
	one := func(s server) func(context.Context) (sample, error) {
		return func(ctx context.Context) (sample, error) {
			before, err := s.processorTime()
			if err != nil {
				return sample{}, err
			}
			took, err := d.client(ctx, s, r.line)
			if err != nil {
				return sample{}, err
			}
			after, err := s.processorTime()
			return sample{took: took / time.Duration(times), server: (after - before) / time.Duration(times)}, err
		}
	}
	ours, theirs, err := interleave(ctx, r.pairs, d.empty, one(d.ours), one(d.theirs))
	if err != nil {
		return err
	}
	if r.bytes == 0 {
		row(label, "≤ 1.05", seconds(ours), seconds(theirs), "s", 3)
		row(r.what+": the server's CPU", "", serverSeconds(ours, 1), serverSeconds(theirs, 1), "s", 3)
		return nil
	}
	row(label, "≥ 0.8, aim 1.0", rates(ours, r.bytes), rates(theirs, r.bytes), "MiB/s", 0)
	gibibytes := float64(r.bytes) / (1 << 30)
	row(r.what+": the server's CPU per GiB", "", serverSeconds(ours, gibibytes), serverSeconds(theirs, gibibytes), "s", 2)
	return nil
}

// empty empties where transfers put their files.
func (d *duel) empty(context.Context) error {
	for _, folder := range []string{d.here("to"), d.there("to")} {
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
		if err := os.Mkdir(folder, 0o755); err != nil {
			return err
		}
		// Whoever logs in writes there, and whoever measures does.
		if err := os.Chmod(folder, 0o777); err != nil {
			return err
		}
	}
	return nil
}

// files makes what is sent, at both ends.
func (d *duel) files() error {
	for _, at := range []string{d.here(), d.there()} {
		if err := os.MkdirAll(filepath.Join(at, "many"), 0o755); err != nil {
			return err
		}
		noise := newNoise()
		big, err := os.Create(filepath.Join(at, "big"))
		if err != nil {
			return err
		}
		for range bigSize / len(noise.block) {
			if _, err := big.Write(noise.next()); err != nil {
				return err
			}
		}
		if err := big.Close(); err != nil {
			return err
		}
		for i := range manyFiles {
			if err := os.WriteFile(filepath.Join(at, "many", fmt.Sprintf("file-%05d", i)), noise.next()[:smallSize], 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
