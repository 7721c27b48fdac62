package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestLinesThatAreLostAreCounted(t *testing.T) {
	line := func(n int) string { return fmt.Sprintf("%0*d%s", numberLength, n, lineRest) }
	if len(line(7)) != lineLength {
		t.Fatalf("a line has %d bytes", len(line(7)))
	}
	r := &rotator{logs: t.TempDir(), suffix: ".gz"}
	write := func(base, text string) {
		t.Helper()
		var to bytes.Buffer
		if filepath.Ext(base) == ".gz" {
			compress := gzip.NewWriter(&to)
			if _, err := compress.Write([]byte(text)); err != nil || compress.Close() != nil {
				t.Fatal(err)
			}
		} else {
			to.WriteString(text)
		}
		if err := os.WriteFile(filepath.Join(r.logs, base), to.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// In the order of the names, across two files and a hole; 2 is torn, 4 never
	// came, 5 came twice. Where 8 is, logrotate puts what is in its way.
	third := line(3)
	write(loadedLog+".2.gz", line(0)+line(1)+line(2)[:50]+"\n"+third[:30])
	write(loadedLog+".1.gz", "\x00\x00"+third[30:]+line(5))
	write(loadedLog, string(make([]byte, 3<<20))+line(5)+line(6)+line(7)[:20])
	write(loadedLog+"-2026112712.backup", line(8))
	got, err := r.count(9)
	if want := (count{lines: 9, lost: 3, doubled: 1}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}

func TestWriterThatMayNotOpenItsLogLosesThatLineOnly(t *testing.T) {
	s := script{Log: filepath.Join(t.TempDir(), loadedLog), Way: reopens}
	log, err := s.open()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.Log, s.Log+".1"); err != nil {
		t.Fatal(err)
	}
	// What cannot be opened by root either.
	if err := os.Mkdir(s.Log, 0o700); err != nil {
		t.Fatal(err)
	}
	if log, err = s.reopen(log); err == nil || log != nil {
		t.Fatalf("%v, %v", log, err)
	}
	if err := os.Remove(s.Log); err != nil {
		t.Fatal(err)
	}
	if log, err = s.reopen(log); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Error(err)
	}
}

func TestPausesAreThoseOfARotation(t *testing.T) {
	const ms = 1_000_000
	strokes := []stroke{
		{At: 0, Longest: 1 * ms},
		{At: 10 * ms, Longest: 7 * ms}, // on its way when the first begins
		{At: 20 * ms, Longest: 2 * ms},
		{At: 40 * ms, Longest: 5 * ms},
		{At: 60 * ms, Longest: 3 * ms},
	}
	during, between := pauses(strokes, []span{{15 * ms, 30 * ms}, {55 * ms, 70 * ms}})
	if !slices.Equal(during, []float64{7, 3}) || !slices.Equal(between, []float64{5}) {
		t.Errorf("%v, %v", during, between)
	}
}

func TestLogTextIsAsLongAsAskedForAndTheSameEachTime(t *testing.T) {
	var one, other bytes.Buffer
	if err := errors.Join(newLogText().writeTo(&one, 3_000_001), newLogText().writeTo(&other, 3_000_001)); err != nil {
		t.Fatal(err)
	}
	if one.Len() != 3_000_001 || !bytes.HasSuffix(one.Bytes(), []byte("\n")) || !bytes.Equal(one.Bytes(), other.Bytes()) {
		t.Errorf("%d and %d bytes", one.Len(), other.Len())
	}
}
