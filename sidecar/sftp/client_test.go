package sftp_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/inmanta/inmanta-docker/sidecar/sftp"
)

// Kinds of packets, codes and flags as the draft numbers them. They are
// written down again here, so that a slip in the server is not repeated.
const (
	fxpInit, fxpVersion                         = 1, 2
	fxpOpen, fxpClose, fxpRead, fxpWrite        = 3, 4, 5, 6
	fxpLstat, fxpFstat, fxpSetstat, fxpFsetstat = 7, 8, 9, 10
	fxpOpendir, fxpReaddir, fxpRemove, fxpMkdir = 11, 12, 13, 14
	fxpRmdir, fxpRealpath, fxpStat, fxpRename   = 15, 16, 17, 18
	fxpReadlink, fxpSymlink                     = 19, 20
	fxpStatus, fxpHandle, fxpData               = 101, 102, 103
	fxpName, fxpAttrs                           = 104, 105
	fxpExtended, fxpExtendedReply               = 200, 201

	fxOK, fxEOF, fxNoSuchFile, fxPermissionDenied = 0, 1, 2, 3
	fxFailure, fxBadMessage, fxUnsupported        = 4, 5, 8

	fxfRead, fxfWrite, fxfAppend = 1, 2, 4
	fxfCreat, fxfTrunc, fxfExcl  = 8, 0x10, 0x20
)

// attrs is ATTRS of the draft; what is nil is absent.
type attrs struct {
	size   *uint64
	owner  *[2]uint32
	mode   *uint32
	times  *[2]uint32
	extra  [][2]string
	uncut  []byte // appended as it is
	absent bool   // nothing at all, not even which attributes there are
}

func just[T any](v T) *T { return &v }

func (a attrs) append(to []byte) []byte {
	if a.absent {
		return to
	}
	var present uint32
	var body []byte
	be := binary.BigEndian
	if a.size != nil {
		present, body = present|1, be.AppendUint64(body, *a.size)
	}
	if a.owner != nil {
		present, body = present|2, be.AppendUint32(be.AppendUint32(body, a.owner[0]), a.owner[1])
	}
	if a.mode != nil {
		present, body = present|4, be.AppendUint32(body, *a.mode)
	}
	if a.times != nil {
		present, body = present|8, be.AppendUint32(be.AppendUint32(body, a.times[0]), a.times[1])
	}
	if a.extra != nil {
		present, body = present|0x80000000, be.AppendUint32(body, uint32(len(a.extra)))
		for _, pair := range a.extra {
			body = appendParts(body, pair[0], pair[1])
		}
	}
	return append(append(be.AppendUint32(to, present), body...), a.uncut...)
}

// packet puts parts behind one another as the protocol writes them, with the
// length in front.
func packet(kind byte, parts ...any) []byte {
	body := appendParts([]byte{0, 0, 0, 0, kind}, parts...)
	binary.BigEndian.PutUint32(body, uint32(len(body)-4))
	return body
}

func appendParts(to []byte, parts ...any) []byte {
	be := binary.BigEndian
	for _, part := range parts {
		switch v := part.(type) {
		case int:
			to = be.AppendUint32(to, uint32(v))
		case uint32:
			to = be.AppendUint32(to, v)
		case uint64:
			to = be.AppendUint64(to, v)
		case string:
			to = append(be.AppendUint32(to, uint32(len(v))), v...)
		case attrs:
			to = v.append(to)
		case []byte:
			to = append(to, v...)
		default:
			panic(fmt.Sprintf("no type of the protocol: %T", part))
		}
	}
	return to
}

// reply is one packet of the server, taken apart as far as each kind begins alike.
type reply struct {
	kind byte
	id   uint32
	rest []byte
}

func parseReply(body []byte) (reply, error) {
	if len(body) < 5 {
		return reply{}, fmt.Errorf("a reply of %d bytes", len(body))
	}
	return reply{body[0], binary.BigEndian.Uint32(body[1:]), body[5:]}, nil
}

func readReply(from io.Reader) (reply, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return reply{}, err
	}
	body := make([]byte, binary.BigEndian.Uint32(length[:]))
	if _, err := io.ReadFull(from, body); err != nil {
		return reply{}, err
	}
	return parseReply(body)
}

func (r *reply) uint32() uint32 {
	v := binary.BigEndian.Uint32(r.rest)
	r.rest = r.rest[4:]
	return v
}

func (r *reply) uint64() uint64 {
	v := binary.BigEndian.Uint64(r.rest)
	r.rest = r.rest[8:]
	return v
}

func (r *reply) string() string {
	n := r.uint32()
	v := string(r.rest[:n])
	r.rest = r.rest[n:]
	return v
}

// code is that of a status, or success for any other kind.
func (r reply) code() int {
	if r.kind != fxpStatus {
		return fxOK
	}
	return int(r.uint32())
}

// stat is what a server says of a file.
type stat struct{ size, uid, gid, mode, atime, mtime uint64 }

func (r *reply) stat() stat {
	var s stat
	switch flags := r.uint32(); flags {
	case 0:
	case 0xf:
		s.size = r.uint64()
		for _, field := range []*uint64{&s.uid, &s.gid, &s.mode, &s.atime, &s.mtime} {
			*field = uint64(r.uint32())
		}
	default:
		panic(fmt.Sprintf("attributes %#x", flags))
	}
	return s
}

type name struct {
	name, long string
	stat       stat
}

func (r *reply) names() []name {
	var names []name
	for n := r.uint32(); n > 0; n-- {
		names = append(names, name{r.string(), r.string(), r.stat()})
	}
	return names
}

// client is a session's other end. What it does fails the test where a
// server's answer cannot be understood.
type client struct {
	t     *testing.T
	to    io.WriteCloser
	from  io.Reader
	last  uint32
	ended chan error // what Serve returned
}

// connect begins a session in dir, in this process.
func connect(t *testing.T, dir string) *client {
	t.Helper()
	return connectWith(t, sftp.Options{Start: dir})
}

func connectWith(t *testing.T, options sftp.Options) *client {
	t.Helper()
	c := connectRaw(t, options)
	c.greet()
	return c
}

// connectRaw is a session in which nothing was said yet. The server is not
// shown that its streams are pipes: it is made for a process of its own then,
// and does not share a processor well.
func connectRaw(t *testing.T, options sftp.Options) *client {
	t.Helper()
	in, to := pipe(t)
	from, out := pipe(t)
	c := &client{t: t, to: to, from: from, ended: make(chan error, 1)}
	go func() {
		err := sftp.Serve(struct{ io.Reader }{in}, struct{ io.Writer }{out}, options)
		in.Close()
		out.Close()
		c.ended <- err
	}()
	return c
}

// serveIn is a session in dir with a server that is a program.
func serveIn(t *testing.T, dir string, server *exec.Cmd) *client {
	t.Helper()
	in, to := pipe(t)
	from, out := pipe(t)
	return serveOn(t, dir, server, from, to, in, out)
}

// serveOn is a session over from and to, the other ends of in and out.
func serveOn(t *testing.T, dir string, server *exec.Cmd, from, to, in, out *os.File) *client {
	t.Helper()
	server.Dir, server.Stdin, server.Stdout, server.Stderr = dir, in, out, t.Output()
	must(t, server.Start())
	in.Close()
	out.Close()
	c := &client{t: t, to: to, from: from, ended: make(chan error, 1)}
	go func() { c.ended <- server.Wait() }()
	t.Cleanup(func() {
		to.Close()
		c.ended <- <-c.ended
	})
	c.greet()
	return c
}

func pipe(t *testing.T) (*os.File, *os.File) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { read.Close(); write.Close() })
	return read, write
}

func (c *client) greet() {
	c.t.Helper()
	c.write(packet(fxpInit, 3))
	if version := c.read(); version.kind != fxpVersion || version.id != 3 {
		c.t.Fatalf("greeted with %+v", version)
	}
}

func (c *client) write(raw []byte) {
	c.t.Helper()
	if _, err := c.to.Write(raw); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() reply {
	c.t.Helper()
	r, err := readReply(c.from)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	return r
}

// send asks without waiting for the answer; parts follow the id.
func (c *client) send(kind byte, parts ...any) uint32 {
	c.t.Helper()
	c.last++
	c.write(packet(kind, slices.Concat([]any{c.last}, parts)...))
	return c.last
}

func (c *client) do(kind byte, parts ...any) reply {
	c.t.Helper()
	id := c.send(kind, parts...)
	answer := c.read()
	if answer.id != id {
		c.t.Fatalf("request %d was answered with id %d", id, answer.id)
	}
	return answer
}

// want does what has to end with code.
func (c *client) want(code int, kind byte, parts ...any) reply {
	c.t.Helper()
	answer := c.do(kind, parts...)
	if got := answer.code(); got != code {
		c.t.Fatalf("request of kind %d %.80q: code %d, want %d (%.200q)", kind, parts, got, code, answer.rest)
	}
	return answer
}

// ok does what has to succeed.
func (c *client) ok(kind byte, parts ...any) reply {
	c.t.Helper()
	return c.want(fxOK, kind, parts...)
}

func (c *client) open(path string, flags int, a attrs) string {
	c.t.Helper()
	r := c.ok(fxpOpen, path, flags, a)
	return r.string()
}

// contents reads all of a file.
func (c *client) contents(path string) string {
	c.t.Helper()
	handle := c.open(path, fxfRead, attrs{})
	defer c.ok(fxpClose, handle)
	var all []byte
	for {
		r := c.do(fxpRead, handle, uint64(len(all)), 32768)
		if r.code() == fxEOF {
			return string(all)
		}
		if r.kind != fxpData {
			c.t.Fatalf("reading %s: %+v", path, r)
		}
		all = append(all, r.string()...)
	}
}

// list is all of a directory, by name.
func (c *client) list(path string) map[string]name {
	c.t.Helper()
	r := c.ok(fxpOpendir, path)
	handle := r.string()
	defer c.ok(fxpClose, handle)
	found := map[string]name{}
	for {
		r := c.do(fxpReaddir, handle)
		if r.code() == fxEOF {
			return found
		}
		if r.kind != fxpName {
			c.t.Fatalf("listing %s: %+v", path, r)
		}
		for _, n := range r.names() {
			if _, twice := found[n.name]; twice {
				c.t.Fatalf("%s lists %q twice", path, n.name)
			}
			found[n.name] = n
		}
	}
}

// hangUp ends the session as a client does that is done, and is what the
// server made of it.
func (c *client) hangUp() error {
	c.t.Helper()
	c.to.Close()
	err := <-c.ended
	c.ended <- err
	return err
}
