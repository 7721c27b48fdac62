package image

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestTranscript(t *testing.T) {
	for name, test := range map[string]struct {
		stream string
		want   transcript
		err    string
	}{
		"a build": {
			stream: `{"stream":"Step 1/2 : FROM debian"}{"stream":"\n"}{"stream":" ---\u003e 0123\n"}
				{"stream":"Step 2/2 : RUN   apt-get \t update"}{"stream":"\n"}{"stream":"Hit:1"}{"stream":" http://x\nHit:2\n"}
				{"aux":{"ID":"sha256:aa"}}{"stream":"Removing intermediate container 12\n"}{"stream":"Successfully built aa\n"}`,
			want: transcript{Step: 2, Steps: 2, Instruction: "RUN apt-get update", Lines: []string{"Hit:1 http://x", "Hit:2"}, ID: "sha256:aa"},
		},
		"the last image counts": {
			stream: `{"aux":{"ID":"sha256:aa"}}{"aux":{"ID":"sha256:bb"}}`,
			want:   transcript{ID: "sha256:bb"},
		},
		"colours and progress bars": {
			stream: `{"stream":"\u001b[91mwarning: x\u001b[0m\n"}{"stream":"10%\r50%\r100%\n"}{"stream":"\u0007\n"}`,
			want:   transcript{Lines: []string{"warning: x", "100%"}},
		},
		"only the last lines are kept": {
			stream: `{"stream":"1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n"}`,
			want:   transcript{Lines: []string{"3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14"}},
		},
		"a line without end": {
			stream: `{"stream":"` + strings.Repeat("é", 300) + `\n"}`,
			want:   transcript{Lines: []string{strings.Repeat("é", 200) + "…"}},
		},
		"a failure": {
			stream: `{"stream":"Step 1/1 : RUN false\n"}{"stream":"no\n"}{"errorDetail":{"code":1,"message":"returned a non-zero code: 1"},"error":"returned a non-zero code: 1"}{"stream":"never read\n"}`,
			want:   transcript{Step: 1, Steps: 1, Instruction: "RUN false", Lines: []string{"no"}},
			err:    "returned a non-zero code: 1",
		},
		"an aux of another kind": {
			stream: `{"id":"moby.buildkit.trace","aux":"AAEC"}{"stream":"line\n"}`,
			want:   transcript{Lines: []string{"line"}},
		},
		"cut in the middle": {stream: `{"stream":"a\n"}{"stre`, want: transcript{Lines: []string{"a"}}, err: errCut.Error()},
		"not JSON":          {stream: `<html>`, err: "reading what the engine says: invalid character '<' looking for beginning of value"},
		"nothing":           {},
	} {
		t.Run(name, func(t *testing.T) {
			var got transcript
			err := eachMessage(strings.NewReader(test.stream), func(m message) { got.take(m) })
			if text := errorText(err); text != test.err {
				t.Errorf("error %q, want %q", text, test.err)
			}
			if got.Step != test.want.Step || got.Steps != test.want.Steps || got.Instruction != test.want.Instruction ||
				got.ID != test.want.ID || !slices.Equal(got.Lines, test.want.Lines) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func FuzzTranscript(f *testing.F) {
	f.Add(`{"stream":"Step 1/2 : FROM x\n"}{"stream":"half"}{"stream":" a line\r\n"}{"aux":{"ID":"sha256:1"}}`)
	f.Add(`{"stream":"Step 99999999999/1 : RUN \u001b[1mx\n"}{"error":"no"}`)
	f.Add(`{"aux":3}[]"x"{"progressDetail":{"current":"x"}}{"errorDetail":null}`)
	f.Fuzz(func(t *testing.T, stream string) {
		var said transcript
		_ = eachMessage(strings.NewReader(stream), func(m message) { said.take(m) })
		if len(said.Lines) > keptLines || len(said.rest) > 4096 {
			t.Fatalf("keeps %d lines and %d bytes", len(said.Lines), len(said.rest))
		}
		for _, line := range append(said.Lines, said.Instruction) {
			if strings.ContainsAny(line, "\n\r\x1b\x00") {
				t.Fatalf("%q is not one printable line", line)
			}
		}
		if strings.ContainsAny(said.detail(), "\n\r\x1b") {
			t.Fatalf("%q is not one printable line", said.detail())
		}
		_, _ = importedID(strings.NewReader(stream))
		l := layers{}
		_ = eachMessage(strings.NewReader(stream), l.take)
		_ = l.event("x")
	})
}

func TestImportedID(t *testing.T) {
	id, err := importedID(strings.NewReader(`{"status":"Importing"}{"status":"sha256:aa"}`))
	if id != "sha256:aa" || err != nil {
		t.Errorf("got %q, %v", id, err)
	}
	if _, err := importedID(strings.NewReader(`{"status":"sha256:aa"}{"error":"unexpected EOF"}`)); err == nil {
		t.Error("a failed import has an ID")
	}
	if _, err := importedID(strings.NewReader(``)); err == nil {
		t.Error("silence has an ID")
	}
}

func TestLineWriter(t *testing.T) {
	var lines []string
	w := &lineWriter{take: func(line string) { lines = append(lines, line) }}
	for _, part := range []string{"one\ntw", "o\n", "\n", "rest"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("writing: %d, %v", n, err)
		}
	}
	if !slices.Equal(lines, []string{"one", "two", ""}) {
		t.Errorf("got %q", lines)
	}
}

func TestBuildFailureSaysWhatToDo(t *testing.T) {
	recipe, err := Orchestrator("1.0")
	if err != nil {
		t.Fatal(err)
	}
	for output, want := range map[string]string{
		"write /x: no space left on device":                                    "Make room",
		"ERROR: No matching distribution found for inmanta==1.0":               "choose a release",
		"ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED]":       "certificate",
		"Certificate verification failed: The certificate is NOT trusted.":     "certificate",
		"Temporary failure resolving 'deb.debian.org'":                         "reaches the Debian mirror",
		"Failed to establish a new connection: [Errno 111] Connection refused": "reaches the Debian mirror",
		errCut.Error(): "docker info",
		"Segmentation": "lines above",
	} {
		said := transcript{Step: 3, Steps: 9, Instruction: "RUN x", Lines: []string{"before", output}}
		p := buildFailure(recipe, said, errors.New("returned 1"))
		if !strings.Contains(p.Fix, want) {
			t.Errorf("%q: fix is %q, want something about %q", output, p.Fix, want)
		}
		if !strings.Contains(p.What, "step 3 of 9 (RUN x)") || !strings.Contains(p.What, "\n    before\n    "+output) {
			t.Errorf("%q does not show the step or its output", p.What)
		}
	}
}
