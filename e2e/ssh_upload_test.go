package e2e

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

// The packets of SFTP version 3 that an upload takes.
const (
	sftpInit    = 1
	sftpVersion = 2
	sftpOpen    = 3
	sftpClose   = 4
	sftpWrite   = 6
	sftpSetstat = 9
	sftpStat    = 17
	sftpStatus  = 101
	sftpHandle  = 102
	sftpAttrs   = 105
)

// upload puts a file there as the sshj library does: a session of its own, a
// look at whether the file is there, many writes on the way at a time, and the
// mode at the end.
func (e *editor) upload(argument string) error {
	path, number, _ := strings.Cut(argument, " ")
	size, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	session, err := e.client.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	in, err := session.StdinPipe()
	if err != nil {
		return err
	}
	out, err := session.StdoutPipe()
	if err != nil {
		return err
	}
	if err := session.RequestSubsystem("sftp"); err != nil {
		return err
	}
	wire := sftpWire{in, out}
	if err := wire.send(sftpInit, struct{ Version uint32 }{3}); err != nil {
		return err
	}
	if kind, _, err := wire.receive(); err != nil || kind != sftpVersion {
		return fmt.Errorf("to INIT comes %d, %v", kind, err)
	}
	type named struct {
		ID   uint32
		Path string
	}
	if kind, _, err := wire.ask(sftpStat, named{1, path}); err != nil || kind != sftpStatus {
		return fmt.Errorf("to STAT of an absent file comes %d, %v", kind, err)
	}
	const writeCreateTruncate = 0x02 | 0x08 | 0x10
	kind, rest, err := wire.ask(sftpOpen, struct {
		ID           uint32
		Path         string
		Flags, Attrs uint32
	}{2, path, writeCreateTruncate, 0})
	var handle struct {
		ID     uint32
		Handle string
	}
	if err == nil && kind == sftpHandle {
		err = ssh.Unmarshal(rest, &handle)
	}
	if err != nil || kind != sftpHandle {
		return fmt.Errorf("to OPEN comes %d, %v", kind, err)
	}
	const piece = 32 << 10
	writes := 0
	sent := make(chan error, 1)
	for at := 0; at < size; at += piece {
		writes++
	}
	go func() {
		for i := range writes {
			err := wire.send(sftpWrite, struct {
				ID     uint32
				Handle string
				Offset uint64
				Data   []byte
			}{uint32(10 + i), handle.Handle, uint64(i * piece), bytes.Repeat([]byte{byte(i)}, min(piece, size-i*piece))})
			if err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for range writes {
		if err := wire.succeeded(); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
	}
	if err := <-sent; err != nil {
		return err
	}
	if err := wire.send(sftpClose, struct {
		ID     uint32
		Handle string
	}{3, handle.Handle}); err != nil {
		return err
	}
	if err := wire.succeeded(); err != nil {
		return fmt.Errorf("closing: %w", err)
	}
	const permissions = 0x04
	if err := wire.send(sftpSetstat, struct {
		ID          uint32
		Path        string
		Flags, Mode uint32
	}{4, path, permissions, 0o644}); err != nil {
		return err
	}
	if err := wire.succeeded(); err != nil {
		return fmt.Errorf("setting the mode: %w", err)
	}
	if kind, _, err := wire.ask(sftpStat, named{5, path}); err != nil || kind != sftpAttrs {
		return fmt.Errorf("to STAT comes %d, %v", kind, err)
	}
	return nil
}

// sftpWire sends and receives SFTP packets: a length, a kind, a body.
type sftpWire struct {
	io.Writer
	io.Reader
}

func (w sftpWire) send(kind byte, body any) error {
	packet := append([]byte{0, 0, 0, 0, kind}, ssh.Marshal(body)...)
	binary.BigEndian.PutUint32(packet, uint32(len(packet)-4))
	_, err := w.Write(packet)
	return err
}

func (w sftpWire) receive() (kind byte, body []byte, err error) {
	var head struct {
		Length uint32
		Kind   byte
	}
	if err := binary.Read(w, binary.BigEndian, &head); err != nil {
		return 0, nil, err
	}
	if head.Length == 0 || head.Length > 1<<18 {
		return 0, nil, fmt.Errorf("a packet of %d bytes", head.Length)
	}
	body = make([]byte, head.Length-1)
	_, err = io.ReadFull(w, body)
	return head.Kind, body, err
}

func (w sftpWire) ask(kind byte, body any) (byte, []byte, error) {
	if err := w.send(kind, body); err != nil {
		return 0, nil, err
	}
	return w.receive()
}

// succeeded is whether the next packet says so.
func (w sftpWire) succeeded() error {
	kind, body, err := w.receive()
	if err != nil {
		return err
	}
	if kind != sftpStatus || len(body) < 8 {
		return fmt.Errorf("instead of a status comes %d", kind)
	}
	if code := binary.BigEndian.Uint32(body[4:]); code != 0 {
		return errors.New("status " + strconv.Itoa(int(code)))
	}
	return nil
}
