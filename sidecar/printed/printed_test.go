package printed

import (
	"io"
	"strings"
	"testing"
)

func TestWhatIsKeptOfWhatIsPrinted(t *testing.T) {
	t.Parallel()
	for _, step := range []int{1, 3, 7, 100} {
		first, last := &Head{Most: 10}, &Tail{Most: 10}
		text := strings.Repeat("0123456789abcdef", 4)
		for at := 0; at < len(text); at += step {
			part := text[at:min(at+step, len(text))]
			for _, w := range []io.Writer{first, last} {
				if n, err := io.WriteString(w, part); n != len(part) || err != nil {
					t.Fatal(n, err)
				}
			}
		}
		if cap(last.kept) > 100+2*len(text) {
			t.Errorf("in steps of %d: %d bytes are held", step, cap(last.kept))
		}
		if first.String() != text[:10] || last.String() != text[len(text)-10:] {
			t.Errorf("in steps of %d: %q and %q", step, first, last)
		}
	}
}

func TestLastLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "", " \n": "", "one": "one", "one\n two\r\n\n": "two"} {
		if got := LastLine(text); got != want {
			t.Errorf("of %q it is %q, want %q", text, got, want)
		}
	}
}
