package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/inmanta/inmanta-docker/sidecar/logrotate/archive"
)

// How fast a log is written, and how often it is rotated meanwhile.
const (
	lineRate      = 50_000
	lossRotations = 10 // as many as either keeps
	lossEvery     = time.Second
)

// span is from when to when a rotation took place.
type span struct{ from, to int64 } // nanoseconds since 1970

// underLoad rotates a log again and again while it is written.
func (d *rotationDuel) underLoad(ctx context.Context, r *rotator, how way, rotations int, every time.Duration) (written, []span, error) {
	fail := func(err error) (written, []span, error) { return written{}, nil, err }
	if err := r.settled(ctx); err != nil {
		return fail(err)
	}
	p, err := d.write(ctx, r, script{Log: loadedLog, Way: how, Rate: lineRate})
	if err != nil {
		return fail(err)
	}
	var spans []span
	pause := time.NewTicker(every)
	defer pause.Stop()
	for range rotations {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return fail(ctx.Err())
		}
		from := time.Now().UnixNano()
		if _, err := d.rotate(ctx, r); err != nil {
			return fail(err)
		}
		spans = append(spans, span{from, time.Now().UnixNano()})
		pause.Reset(every)
	}
	<-pause.C
	all, err := p.stop()
	if err != nil {
		return fail(err)
	}
	return all, spans, r.settled(ctx)
}

const loadedLog = "callback.log"

// count is how many of the lines of a log are found how often.
type count struct{ lines, lost, doubled int }

func (c count) String() string {
	text := fmt.Sprintf("%d of %d", c.lost, c.lines)
	if c.doubled > 0 {
		text += fmt.Sprintf(", %d twice", c.doubled)
	}
	return text
}

// lossRows count the lines that are lost.
func (d *rotationDuel) lossRows(ctx context.Context) error {
	copytruncate := d.copytruncate()
	fmt.Printf("\nLines lost of a log that is written %d times a second and rotated %d times.\n\n", lineRate, lossRotations)
	fmt.Print("| the writer | ours | logrotate as upstream configures it | logrotate with `copytruncate` | target |\n| --- | --- | --- | --- | --- |\n")
	for _, how := range []way{appends, ownOffset, reopens} {
		counts := make([]count, 3)
		for i, r := range []*rotator{&d.ours, &d.theirs, copytruncate} {
			all, _, err := d.underLoad(ctx, r, how, lossRotations, lossEvery)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", r.name, how, err)
			}
			if counts[i], err = r.count(all.Lines); err != nil {
				return err
			}
			if err := r.empty(); err != nil {
				return err
			}
		}
		fmt.Printf("| %s | %s | %s | %s | ours: 0 |\n", how, counts[0], counts[1], counts[2])
	}
	return nil
}

// count looks for each line in the archives and what is left of the log, oldest
// first.
func (r *rotator) count(lines int) (count, error) {
	entries, err := os.ReadDir(r.logs)
	if err != nil {
		return count{}, err
	}
	var names []archive.Name
	var put []string
	for _, entry := range entries {
		if name, is := archive.Parse(entry.Name()); is {
			names = append(names, name)
		} else if strings.HasSuffix(entry.Name(), ".backup") {
			// logrotate's for a file that its writer made before it could.
			put = append(put, entry.Name())
		}
	}
	slices.SortFunc(names, archive.Compare)
	bases := []string{}
	for _, name := range names {
		bases = append(bases, name.String())
	}
	var parts []io.Reader
	for _, base := range slices.Concat(put, bases, []string{loadedLog}) {
		file, err := os.Open(filepath.Join(r.logs, base))
		if errors.Is(err, os.ErrNotExist) && base == loadedLog {
			continue // rotated, and its writer has not opened it anew
		}
		if err != nil {
			return count{}, err
		}
		defer file.Close()
		var part io.Reader = file
		if filepath.Ext(base) == r.suffix {
			if part, err = gzip.NewReader(file); err != nil {
				return count{}, fmt.Errorf("%s: %w", base, err)
			}
		}
		parts = append(parts, part)
	}
	found := make([]uint8, lines)
	text := bufio.NewReaderSize(withoutHoles{io.MultiReader(parts...)}, 1<<20)
	for {
		line, err := text.ReadSlice('\n')
		if n, is := numberOf(line); is && n < lines {
			found[n] = min(found[n]+1, 2)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return count{}, err
		}
	}
	c := count{lines: lines}
	for _, times := range found {
		switch times {
		case 0:
			c.lost++
		case 2:
			c.doubled++
		}
	}
	return c, nil
}

// numberOf is the number of a whole line.
func numberOf(line []byte) (int, bool) {
	if len(line) != lineLength || string(line[numberLength:]) != lineRest {
		return 0, false
	}
	n, err := strconv.Atoi(string(line[:numberLength]))
	return n, err == nil
}

// withoutHoles leaves out what no writer wrote: the zeros of a hole.
type withoutHoles struct{ io.Reader }

func (w withoutHoles) Read(p []byte) (int, error) {
	for {
		n, err := w.Reader.Read(p)
		n = len(slices.DeleteFunc(p[:n], func(b byte) bool { return b == 0 }))
		if n > 0 || err != nil {
			return n, err
		}
	}
}
