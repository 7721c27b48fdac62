package proof

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// lineOf is what testdata/writers.py writes.
func lineOf(writer string, number, length int) string {
	head := fmt.Sprintf("%s %09d %d ", writer, number, length)
	return head + strings.Repeat(string(rune('a'+number%26)), length-len(head)-1) + "\n"
}

// planted are 900 lines: an archive of logrotate's, two of ours, a segment and
// the live file.
func planted(t *testing.T) (folder string, names []string) {
	t.Helper()
	folder = t.TempDir()
	names = []string{
		"x.log.2.gz", "x.log.1", "x.log-20260101", "x.log-20260102T000000Z-1.gz",
		"x.log-20260102T000000Z-2.gz", "x.log-20260102T000000Z.zst", "x.log-20260103T000000Z.gz", "x.log-20260104T000000Z", "x.log",
	}
	for i, name := range names {
		var text bytes.Buffer
		for number := 100*i + 1; number <= 100*i+100; number++ {
			text.WriteString(lineOf("w0", number, 60))
		}
		put(t, filepath.Join(folder, name), text.Bytes())
	}
	put(t, filepath.Join(folder, "x.log.bak"), []byte("not a piece of it\n"))
	put(t, filepath.Join(folder, "xx.log"), []byte("nor this\n"))
	return folder, names
}

// put writes a file the way that its name says.
func put(t *testing.T, path string, content []byte) {
	t.Helper()
	plain := strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".zst")
	if err := os.WriteFile(plain, content, 0o644); err != nil {
		t.Fatal(err)
	}
	switch filepath.Ext(path) {
	case ".gz":
		run(t, "gzip", "-f", plain)
	case ".zst":
		run(t, "zstd", "-q", "-f", "--rm", plain)
	}
}

func TestCheckerFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	text := func(numbers ...int) []byte {
		var lines bytes.Buffer
		for _, number := range numbers {
			lines.WriteString(lineOf("w0", number, 60))
		}
		return lines.Bytes()
	}
	upTo := func(from, to int) (numbers []int) {
		for ; from <= to; from++ {
			numbers = append(numbers, from)
		}
		return numbers
	}
	for _, c := range []struct {
		what string
		do   func(folder string)
		want sum
	}{
		{"nothing", func(string) {}, sum{lines: 900}},
		{"a line that is gone", func(folder string) {
			put(t, folder+"/x.log-20260103T000000Z.gz", text(slices.Concat(upTo(601, 650), upTo(652, 700))...))
		}, sum{lines: 899, lost: 1}},
		{"the last line that is gone", func(folder string) {
			put(t, folder+"/x.log", text(upTo(801, 899)...))
		}, sum{lines: 899, lost: 1}},
		{"an archive that is gone", func(folder string) {
			_ = os.Remove(folder + "/x.log.2.gz")
		}, sum{lines: 800, lost: 100}},
		{"a line twice, side by side", func(folder string) {
			put(t, folder+"/x.log", text(slices.Concat(upTo(801, 850), upTo(850, 900))...))
		}, sum{lines: 900, doubled: 1}},
		{"a line twice, in two archives", func(folder string) {
			put(t, folder+"/x.log-20260102T000000Z-1.gz", text(slices.Concat(upTo(300, 400))...))
		}, sum{lines: 900, doubled: 1}},
		{"two lines that changed places", func(folder string) {
			put(t, folder+"/x.log", text(slices.Concat(upTo(801, 850), []int{852, 851}, upTo(853, 900))...))
		}, sum{lines: 900, displaced: 1}},
		{"a torn line", func(folder string) {
			put(t, folder+"/x.log", append(text(upTo(801, 899)...), lineOf("w0", 900, 60)[:40]...))
		}, sum{lines: 899, lost: 1, torn: 1}},
		{"a line within another", func(folder string) {
			line := lineOf("w0", 900, 60)
			put(t, folder+"/x.log", append(text(upTo(801, 898)...), line[:40]+lineOf("w0", 899, 60)+line[40:]...))
		}, sum{lines: 898, lost: 2, torn: 2}},
		{"bytes of another line", func(folder string) {
			line := []byte(lineOf("w0", 900, 60))
			line[50] = 'z'
			put(t, folder+"/x.log", append(text(upTo(801, 899)...), line...))
		}, sum{lines: 899, lost: 1, torn: 1}},
		{"an archive that was cut off", func(folder string) {
			path := folder + "/x.log-20260103T000000Z.gz"
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, int64(len(content)-6)); err != nil {
				t.Fatal(err)
			}
		}, sum{lines: 900, torn: 1}},
		{"zeros and a hole before what is not archived", func(folder string) {
			content := append(make([]byte, 1<<20), text(upTo(801, 900)...)...)
			if err := os.WriteFile(folder+"/x.log", content, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(folder+"/x.log", int64(len(content))+1<<20); err != nil {
				t.Fatal(err)
			}
		}, sum{lines: 900}},
		{"zeros in an archive", func(folder string) {
			put(t, folder+"/x.log-20260103T000000Z.gz", append(make([]byte, 100), text(upTo(601, 700)...)...))
		}, sum{lines: 900, zeros: 100}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			folder, _ := planted(t)
			c.do(folder)
			found := counted(t, folder, "x.log", map[string]uint64{"w0": 900})
			if examples := found.examples; (len(examples) == 0) != c.want.perfect() {
				t.Errorf("examples: %q", examples)
			}
			found.examples = nil
			if found.String() != c.want.String() {
				t.Errorf("found %v, want %v", found, c.want)
			}
		})
	}
}

// A line of a writer that does not know yet that it is written may be there or not.
func TestCheckerAsksForNoLineThatIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	folder, _ := planted(t)
	for acknowledged, lost := range map[uint64]int{899: 0, 901: 1} {
		found := counted(t, folder, "x.log", map[string]uint64{"w0": acknowledged})
		if found.lost != lost || found.lines != 900 {
			t.Errorf("%d acknowledged: %v", acknowledged, found)
		}
	}
}

// What the proof is worth: it sees the lines that logrotate loses with
// copytruncate, of a writer as quick as the machine allows.
func TestCheckerCatchesCopytruncate(t *testing.T) {
	t.Parallel()
	folder := scratch(t) // logrotate refuses folders of others
	path := filepath.Join(folder, "x.log")
	put(t, path, nil)
	if err := os.Chown(path, owner, owner); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(folder, "conf")
	put(t, config, []byte(path+" {\n rotate 1000\n copytruncate\n compress\n}\n"))
	w := start(t, writer{ID: "w0", Kind: "append", Path: path})
	for range 20 {
		w.wait(5000)
		run(t, "logrotate", "--force", "--state", filepath.Join(folder, "state"), config)
	}
	w.wait(5000)
	w.stop()
	found := counted(t, folder, "x.log", w.acknowledged(path))
	t.Log(found)
	if found.lost == 0 || found.doubled+found.displaced > 0 {
		t.Errorf("logrotate's copytruncate: %v: want lines lost, and none doubled or out of order", found)
	}
}
