package rsync

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/delta"
	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

const (
	aFile      = unix.S_IFREG | 0o644
	aDirectory = unix.S_IFDIR | 0o755
	aLink      = unix.S_IFLNK | 0o777
)

// evil sends a list of its own making, and the same contents for whatever is
// asked for.
type evil struct {
	files []entry
	// unasked are indexes of files that it sends before any is asked for.
	unasked []int32
	// contents replaces what it sends of a file; nil is the usual.
	contents func(out *wire.Encoder)
}

func (v evil) run(s *session) error {
	sender := newListSender(s)
	for _, e := range v.files {
		sender.add(&e, inode{}, 1)
	}
	files, err := sender.end(0)
	if err != nil {
		return err
	}
	tokens := delta.NewTokens(s.out)
	for _, index := range v.unasked {
		if err := v.send(s, request{index: index, flags: itemTransfer}, tokens); err != nil {
			return err
		}
	}
	for phase := 0; phase <= lastPhase; {
		r, err := s.readRequest(files)
		switch {
		case err != nil:
			return err
		case r.index == wire.IndexDone:
			phase++
			err = s.out.Index(wire.IndexDone)
		case r.flags&itemTransfer == 0:
			err = r.write(s.out)
		case s.dryRun:
			err = r.write(s.out)
		default:
			if _, err = delta.ReadSignature(s.in); err == nil {
				err = v.send(s, r, tokens)
			}
		}
		if err != nil {
			return err
		}
	}
	return s.sayGoodbye()
}

func (v evil) send(s *session, r request, tokens delta.Tokens) error {
	_ = r.write(s.out)
	if v.contents != nil {
		v.contents(s.out)
		return io.ErrUnexpectedEOF // and hangs up
	}
	_ = delta.Shape{}.Write(s.out)
	sum, err := delta.Send(strings.NewReader("evil"), 4, &delta.Signature{}, false, s.strong, tokens)
	if err == nil {
		_, err = s.out.Write(sum)
	}
	return err
}

// receiveFrom lets a server receive from somebody, into a directory.
func receiveFrom(t *testing.T, o *options, v evil, into string) error {
	t.Helper()
	toReceiver, fromSender := io.Pipe()
	toSender, fromReceiver := io.Pipe()
	shown := &screen{stdout: io.Discard, stderr: io.Discard}
	sendOptions := *o
	sendOptions.sender = true
	sending, receiving := newHalf(&sendOptions, toSender, fromSender, shown), newHalf(o, toReceiver, fromReceiver, shown)
	receiving.strong.Seed = sending.strong.Seed
	go func() {
		err := v.run(sending)
		_ = fromSender.CloseWithError(errors.Join(sending.out.Close(), err))
	}()
	done := make(chan error, 1)
	go func() {
		err := receiving.receiveAll(into, receiving.newRules())
		receiving.unfinished.stop(o.partial)
		done <- err
		_ = toReceiver.Close()
		_ = fromReceiver.Close()
		_ = receiving.out.Close()
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatalf("it never ends: %+v", v.files)
		return nil
	}
}

// everythingOn is -aH --delete and more.
func everythingOn() *options {
	o := newOptions()
	archive(o)
	o.directories, o.hardLinks, o.delete, o.wholeFile = true, true, during, -1
	return o
}

// No list makes a server write outside the destination: the first line of the
// notes on hostile senders.
func TestListsStayInside(t *testing.T) {
	top := entry{name: ".", mode: aDirectory, content: true, top: true}
	for name, files := range map[string][]entry{
		"up":                     {top, {name: "../out/x", mode: aFile, size: 4}},
		"up later":               {top, {name: "a", mode: aDirectory}, {name: "a/../../out/x", mode: aFile, size: 4}},
		"absolute":               {top, {name: "OUT/x", mode: aFile, size: 4}},
		"just up":                {{name: "..", mode: aDirectory, content: true, top: true}},
		"NUL":                    {top, {name: "a\x00b", mode: aFile, size: 4}},
		"empty":                  {top, {name: "", mode: aFile, size: 4}},
		"through a link":         {top, {name: "l", mode: aLink, link: "../out"}, {name: "l/x", mode: aFile, size: 4}},
		"through a link twice":   {top, {name: "l", mode: aLink, link: "../out"}, {name: "l", mode: aDirectory, content: true}, {name: "l/x", mode: aFile, size: 4}},
		"over a link that is":    {top, {name: "there", mode: aDirectory, content: true}, {name: "there/x", mode: aFile, size: 4}},
		"file over a link":       {top, {name: "there", mode: aFile, size: 4}},
		"delete through a link":  {top, {name: "there", mode: aDirectory, content: true, top: true}},
		"hard link to a link":    {top, {name: "l", mode: aLink, link: "../out/kept"}, {name: "m", mode: aFile, size: 4}},
		"file as a directory":    {top, {name: "f", mode: aFile, size: 4}, {name: "f/x", mode: aFile, size: 4}},
		"no directory at all":    {top, {name: "nowhere/x", mode: aFile, size: 4}},
		"top is a link":          {{name: ".", mode: aLink, link: "../out"}},
		"top is a file":          {{name: ".", mode: aFile, size: 4}},
		"no kind":                {top, {name: "x", mode: 0o644}},
		"negative size":          {top, {name: "x", mode: aFile, size: -4}},
		"link with a NUL":        {top, {name: "l", mode: aLink, link: "a\x00b"}},
		"dots":                   {top, {name: "./././l/./", mode: aDirectory}, {name: "l//x", mode: aFile, size: 4}},
		"temporary's own name":   {top, {name: ".x.AAAAAA", mode: aFile, size: 4}, {name: "x", mode: aFile, size: 4}},
		"long":                   {top, {name: strings.Repeat("n/", 2000) + "x", mode: aFile, size: 4}},
		"device":                 {top, {name: "x", mode: unix.S_IFBLK | 0o666, major: 8}},
		"set user id on nothing": {top, {name: "x", mode: unix.S_IFREG | 0o4755, size: 4, uid: 1}},
	} {
		for _, change := range []func(*options){
			func(*options) {},
			func(o *options) { o.relative = true },
			func(o *options) { o.relative, o.noImplied = true, true },
			func(o *options) { o.inplace = true },
			func(o *options) { o.backup, o.suffix = true, "~" },
			func(o *options) { o.dryRun = true },
		} {
			dir := t.TempDir()
			in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
			must(t, os.Mkdir(in, 0o755))
			must(t, os.Mkdir(out, 0o755))
			must(t, os.WriteFile(filepath.Join(out, "kept"), []byte("kept"), 0o600))
			must(t, os.Symlink("../out", filepath.Join(in, "there")))
			o := everythingOn()
			change(o)
			given := make([]entry, len(files))
			copy(given, files)
			for i := range given {
				given[i].name = strings.ReplaceAll(given[i].name, "OUT", out)
			}
			before := snapshot(t, out, true)
			err := receiveFrom(t, o, evil{files: given}, in)
			if after := snapshot(t, out, true); after != before {
				t.Errorf("%s: outside is changed (%v):\n%s", name, err, difference(after, before))
			}
			if found, _ := filepath.Glob(filepath.Join(dir, "*")); len(found) != 2 {
				t.Errorf("%s: beside the destination there is %v (%v)", name, found, err)
			}
		}
	}
}

// What a sender sends that nobody asked for, or that makes no sense, ends the
// transfer, and nothing half done is left.
func TestNonsenseEndsTheTransfer(t *testing.T) {
	top := entry{name: ".", mode: aDirectory, content: true, top: true}
	file := entry{name: "x", mode: aFile, size: 4}
	head := func(out *wire.Encoder, numbers ...int32) {
		for _, n := range numbers {
			_ = out.Int(n)
		}
	}
	for name, v := range map[string]evil{
		"unasked":         {files: []entry{top, file}, unasked: []int32{0}},
		"unasked twice":   {files: []entry{top, file, {name: "y", mode: aFile, size: 4}}, unasked: []int32{1, 1, 1}},
		"no such file":    {files: []entry{top, file}, unasked: []int32{7}},
		"negative":        {files: []entry{top, file}, unasked: []int32{-50}},
		"negative count":  {files: []entry{top, file}, contents: func(out *wire.Encoder) { head(out, -1, 700, 2, 0) }},
		"huge count":      {files: []entry{top, file}, contents: func(out *wire.Encoder) { head(out, 1<<30, 700, 2, 0) }},
		"no basis":        {files: []entry{top, file}, contents: func(out *wire.Encoder) { head(out, 1, 700, 2, 0, -1, 0) }},
		"block too far":   {files: []entry{top, file}, contents: func(out *wire.Encoder) { head(out, 0, 0, 0, 0, -5, 0) }},
		"block too far 2": {files: []entry{top, file}, contents: func(out *wire.Encoder) { head(out, 0, 0, 0, 0, -1<<31, 0) }},
		"ends early":      {files: []entry{top, file}, contents: func(out *wire.Encoder) { head(out, 0, 0, 0, 0, 1000) }},
		"wrong checksum": {files: []entry{top, file}, contents: func(out *wire.Encoder) {
			head(out, 0, 0, 0, 0, 4)
			_ = out.Text("evil")
			head(out, 0, 1, 2)
		}},
	} {
		in := t.TempDir()
		err := receiveFrom(t, everythingOn(), v, in)
		found, readErr := os.ReadDir(in)
		must(t, readErr)
		for _, one := range found {
			if data, err := os.ReadFile(filepath.Join(in, one.Name())); err != nil || string(data) != "evil" {
				t.Errorf("%s: %s is left (%v)", name, one.Name(), err)
			}
		}
		if name != "wrong checksum" && err == nil {
			t.Errorf("%s: no error", name)
		}
		if name == "wrong checksum" && len(found) > 0 {
			t.Errorf("%s: %v", name, found)
		}
	}
}

// serverInput is what a client says before anything else.
func serverInput(protocol int, rest []byte) []byte {
	var buffer bytes.Buffer
	w := wire.NewWriter(&buffer, 0)
	e := wire.NewEncoder(w)
	_ = e.Int(int32(protocol))
	if protocol >= 30 {
		w.Frame()
	}
	_, _ = w.Write(rest)
	_ = w.Close()
	return buffer.Bytes()
}

// encode is bytes as a client would write them.
func encode(protocol int, write func(*wire.Encoder)) []byte {
	var buffer bytes.Buffer
	w := wire.NewWriter(&buffer, 0)
	e := wire.NewEncoder(w)
	e.Protocol = protocol
	write(e)
	_ = w.Close()
	return buffer.Bytes()
}

func FuzzReceivingServer(f *testing.F) {
	for _, protocol := range []int{29, 30, 31} {
		f.Add(uint8(protocol), encode(protocol, func(e *wire.Encoder) {
			_ = e.Int(4)
			_ = e.Text("- *x")
			_ = e.Int(0)
			l := newListSender(&session{options: everythingOn(), protocol: protocol, out: e})
			for _, one := range []entry{
				{name: ".", mode: aDirectory, content: true, top: true}, {name: "f", mode: aFile, size: 4, modified: 1577934245},
				{name: "d", mode: aDirectory}, {name: "d/l", mode: aLink, link: "../f"}, {name: "d/p", mode: unix.S_IFIFO | 0o600},
			} {
				l.add(&one, inode{1, 2}, 2)
			}
			_, _ = l.end(0)
			for range 4 {
				_ = e.Index(wire.IndexDone)
			}
		}))
	}
	f.Fuzz(func(t *testing.T, how uint8, data []byte) {
		dir := t.TempDir()
		in := filepath.Join(dir, "in")
		must(t, os.Mkdir(in, 0o755))
		must(t, os.WriteFile(filepath.Join(dir, "outside"), []byte("outside"), 0o600))
		must(t, os.Symlink("..", filepath.Join(in, "up")))
		o := everythingOn()
		o.server, o.times = true, how&1 == 0
		o.paths = []string{in}
		if how&2 != 0 {
			o.client = "LsfxCIvu"
			// The rest of the greeting.
			data = append([]byte("\x05xxh64"), data...)
		}
		o.dryRun, o.relative, o.inplace, o.compress = how&4 != 0, how&8 != 0, how&16 != 0, how&32 != 0
		protocol := 29 + int(how)%3
		input := serverInput(protocol, data)
		s := newSession(o, bytes.NewReader(input), io.Discard)
		_ = s.run()
		if s.reading != nil {
			<-s.reading
		}
		s.unfinished.stop(false)
		_ = s.out.Close()
		found, err := os.ReadDir(dir)
		if err != nil || len(found) != 2 {
			t.Fatalf("outside there is %v, %v", found, err)
		}
		if data, err := os.ReadFile(filepath.Join(dir, "outside")); err != nil || string(data) != "outside" {
			t.Fatalf("outside is %q, %v", data, err)
		}
	})
}

func FuzzSendingServer(f *testing.F) {
	for _, protocol := range []int{29, 30, 31} {
		f.Add(uint8(protocol), encode(protocol, func(e *wire.Encoder) {
			_ = e.Int(0)
			_ = e.Index(1)
			_ = e.Short(itemTransfer)
			_ = delta.Shape{}.Write(e)
			for range 4 {
				_ = e.Index(wire.IndexDone)
			}
		}))
	}
	f.Fuzz(func(t *testing.T, how uint8, data []byte) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "f"), noise(9, 3000), 0o600))
		must(t, os.Symlink("f", filepath.Join(dir, "l")))
		o := everythingOn()
		o.server, o.sender, o.delete = true, true, never
		o.paths = []string{dir + "/"}
		o.compress, o.inplace, o.checksum = how&4 != 0, how&8 != 0, how&16 != 0
		s := newSession(o, bytes.NewReader(serverInput(29+int(how)%3, data)), io.Discard)
		_ = s.run()
		_ = s.out.Close()
		if found, err := os.ReadDir(dir); err != nil || len(found) != 2 {
			t.Fatalf("there is %v, %v", found, err)
		}
	})
}

func FuzzCommandLine(f *testing.F) {
	f.Add("--server\x00-vlogDtpre.iLsfxCIvu\x00.\x00dst/")
	f.Add("--server\x00--sender\x00-re.\x00--backup-dir\x00../x\x00--timeout=5\x00.\x00a\x00-b")
	f.Add("-a\x00--delete\x00--exclude=*.o\x00a/\x00b/")
	f.Fuzz(func(t *testing.T, line string) {
		o := newOptions()
		args := strings.Split(line, "\x00")
		o.server = args[0] == "--server"
		err := o.readCommand(args, strings.NewReader("x\x00-a\x00.\x00y\x00\x00"))
		if ends := (exit{}); err != nil && !errors.As(err, &ends) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: %v has no exit code", args, err)
		}
	})
}
