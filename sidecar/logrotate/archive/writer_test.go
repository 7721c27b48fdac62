package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// logText is n lines as the orchestrator writes them.
func logText(n int) []byte {
	var text bytes.Buffer
	for i := range n {
		fmt.Fprintf(&text, "2026-11-27 06:%02d:%02d,%03d INFO     inmanta.server Deployed resource std::File[vm%d,path=/etc/%d] version %d\n",
			i/60000%60, i/1000%60, i%1000, i%17, i*7919%1000, i/100)
	}
	return text.Bytes()
}

func compress(t testing.TB, format Format, texts ...[]byte) []byte {
	t.Helper()
	var to bytes.Buffer
	writer, err := NewWriter(io.Discard, format, 0)
	for _, text := range texts {
		if err == nil {
			writer.Reset(&to)
			_, err = writer.Write(text)
		}
		if err == nil {
			err = writer.Close()
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return to.Bytes()
}

func decompress(format Format, from []byte) ([]byte, error) {
	reader, err := NewReader(bytes.NewReader(from), format)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return io.ReadAll(reader)
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	t.Parallel()
	text := logText(20000)
	for _, format := range []Format{Plain, Gzip, Zstd} {
		for _, pieces := range [][][]byte{{{}}, {text}, {text[:100], text[100:30000], {}, text[30000:]}} {
			got, err := decompress(format, compress(t, format, pieces...))
			if want := bytes.Join(pieces, nil); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s, %d pieces: %d of %d bytes, %v", format, len(pieces), len(got), len(want), err)
			}
		}
	}
}

// What everybody has reads what is written here, in several pieces as well.
func TestZcatReadsIt(t *testing.T) {
	t.Parallel()
	text := logText(20000)
	for _, pieces := range [][][]byte{{{}}, {text}, {text[:100], text[100:]}} {
		zcat := exec.Command("zcat")
		zcat.Stdin = bytes.NewReader(compress(t, Gzip, pieces...))
		got, err := zcat.Output()
		if want := bytes.Join(pieces, nil); err != nil || !bytes.Equal(got, want) {
			t.Errorf("zcat gets %d of %d bytes, %v", len(got), len(want), err)
		}
	}
}

func TestLevels(t *testing.T) {
	t.Parallel()
	text := logText(20000)
	size := func(format Format, level int) int {
		var to bytes.Buffer
		writer, err := NewWriter(&to, format, level)
		if err == nil {
			_, err = writer.Write(text)
		}
		if err == nil {
			err = writer.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return to.Len()
	}
	for format, standard := range map[Format]int{Gzip: DefaultGzip, Zstd: DefaultZstd} {
		if size(format, 0) != size(format, standard) || size(format, 9) >= size(format, 1) || size(format, 0) > len(text)/3 {
			t.Errorf("%s: %d by default, %d at %d, %d at 1, %d at 9",
				format, size(format, 0), size(format, standard), standard, size(format, 1), size(format, 9))
		}
	}
	for _, refused := range []struct {
		format Format
		level  int
	}{{Gzip, -1}, {Gzip, 10}, {Zstd, 23}, {Zstd, -1}, {Plain, 1}, {XZ, 0}, {Bzip2, 1}} {
		if _, err := NewWriter(io.Discard, refused.format, refused.level); err == nil {
			t.Errorf("%+v is not refused", refused)
		}
	}
}

// full takes so many bytes, and then no more.
type full struct{ left int }

func (f *full) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

var errFull = errors.New("no space left")

// A writer that failed is as good as new after Reset.
func TestAWriterIsUsedAgain(t *testing.T) {
	text := logText(5000)
	for _, format := range []Format{Gzip, Zstd} {
		writer, err := NewWriter(&full{1000}, format, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = writer.Write(text)
		if err = errors.Join(err, writer.Close()); !errors.Is(err, errFull) {
			t.Errorf("%s: a full disk is told as %v", format, err)
		}
		var to bytes.Buffer
		writer.Reset(&to)
		_, err = writer.Write(text)
		if err = errors.Join(err, writer.Close()); err != nil || !bytes.Equal(to.Bytes(), compress(t, format, text)) {
			t.Errorf("%s: %d bytes, %v", format, to.Len(), err)
		}
		allocated := testing.AllocsPerRun(20, func() {
			writer.Reset(io.Discard)
			writer.Write([]byte("one line\n"))
			writer.Close()
		})
		if allocated > 8 {
			t.Errorf("%s: a small file costs %v allocations", format, allocated)
		}
	}
}

func TestDamage(t *testing.T) {
	t.Parallel()
	text := logText(20000)
	for _, format := range []Format{Gzip, Zstd} {
		whole := compress(t, format, text, text)
		for _, size := range []int{0, 1, 5, len(whole) / 3, len(whole)/2 + 9, len(whole) - 1} {
			got, err := decompress(format, whole[:size])
			if err == nil {
				t.Errorf("%s: %d of %d bytes are an archive of %d", format, size, len(whole), len(got))
			}
			if !bytes.HasPrefix(append(text, text...), got) || size > 100 && len(got) < 100 {
				t.Errorf("%s: %d of %d bytes give %d", format, size, len(whole), len(got))
			}
		}
		if _, err := decompress(format, append(bytes.Clone(whole), "rubbish"...)); err == nil {
			t.Errorf("%s: what follows an archive is not told", format)
		}
		damaged := bytes.Clone(whole)
		damaged[len(damaged)/3] ^= 0x55
		if _, err := decompress(format, damaged); err == nil {
			t.Errorf("%s: a flipped byte is not told", format)
		}
	}
	for _, format := range []Format{XZ, Bzip2} {
		if _, err := NewReader(strings.NewReader("x"), format); err == nil {
			t.Errorf("%s is read", format)
		}
	}
}

// A frame that says it refers back 1 GiB is refused before memory is taken.
func TestTooLargeAWindow(t *testing.T) {
	t.Parallel()
	// Magic, a header without size, the window 2^(10+20), a raw last block of one byte.
	hostile := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 20 << 3, 0x09, 0x00, 0x00, 'x'}
	if _, err := decompress(Zstd, hostile); err == nil || !strings.Contains(err.Error(), "window") {
		t.Errorf("a window of 1 GiB: %v", err)
	}
	hostile[5] = 13 << 3
	if got, err := decompress(Zstd, hostile); err != nil || string(got) != "x" {
		t.Errorf("a window of 8 MiB: %q, %v", got, err)
	}
}

func FuzzReader(f *testing.F) {
	for _, format := range []Format{Gzip, Zstd} {
		whole := compress(f, format, logText(3), []byte("x"))
		f.Add(uint8(format), whole)
		f.Add(uint8(format), whole[:len(whole)/2])
	}
	f.Fuzz(func(t *testing.T, format uint8, from []byte) {
		reader, err := NewReader(bytes.NewReader(from), Format(format%uint8(len(formats))))
		if err != nil {
			return
		}
		defer reader.Close()
		if _, err := io.Copy(io.Discard, io.LimitReader(reader, 1<<24)); err != nil {
			return
		}
	})
}
