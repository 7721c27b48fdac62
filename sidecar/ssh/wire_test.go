package ssh

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// The numbers of messages (RFC 4250, section 4.1.2).
const (
	msgDisconnect       = 1
	msgIgnore           = 2
	msgServiceRequest   = 5
	msgServiceAccept    = 6
	msgExtInfo          = 7
	msgKexInit          = 20
	msgNewKeys          = 21
	msgKexECDHInit      = 30
	msgKexECDHReply     = 31
	msgAuthRequest      = 50
	msgAuthFailure      = 51
	msgAuthSuccess      = 52
	msgAuthKeyAccepted  = 60
	msgGlobalRequest    = 80
	msgGlobalSuccess    = 81
	msgGlobalFailure    = 82
	msgChannelOpen      = 90
	msgChannelConfirmed = 91
	msgChannelFailed    = 92
	msgWindowAdjust     = 93
	msgChannelData      = 94
	msgExtendedData     = 95
	msgChannelEOF       = 96
	msgChannelClose     = 97
	msgChannelRequest   = 98
	msgChannelSuccess   = 99
	msgChannelFailure   = 100
)

// wire is a client that sends whatever it is told to, in whatever order: that
// of x/crypto is too polite to be hostile.
type wire struct {
	conn          net.Conn
	reads         *bufio.Reader
	serverVersion string
	clientInit    []byte
	serverInit    []byte
	session       []byte // the session's id, once keys are agreed
	in, out       *sealer
}

const clientVersion = "SSH-2.0-hostile"

// sealer is AES-128-GCM as OpenSSH uses it (its PROTOCOL, section 1.6).
type sealer struct {
	aead  cipher.AEAD
	nonce []byte
}

func newSealer(key, nonce []byte) *sealer {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return &sealer{aead, nonce}
}

// next is the nonce of this packet; the counter in it is one further for the next.
func (s *sealer) next() []byte {
	now := append([]byte(nil), s.nonce...)
	binary.BigEndian.PutUint64(s.nonce[4:], binary.BigEndian.Uint64(s.nonce[4:])+1)
	return now
}

// greet connects and exchanges versions and the lists of algorithms.
func greet(t *testing.T, s *stand) *wire {
	t.Helper()
	w := &wire{conn: s.reach(t, here)}
	if err := w.greet(); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *wire) greet() error {
	_ = w.conn.SetDeadline(time.Now().Add(longEnough))
	w.reads = bufio.NewReader(w.conn)
	version, err := w.reads.ReadString('\n')
	if err != nil {
		return err
	}
	w.serverVersion = strings.TrimRight(version, "\r\n")
	if _, err := io.WriteString(w.conn, clientVersion+"\r\n"); err != nil {
		return err
	}
	w.sendInit()
	if w.serverInit, err = w.next(); err != nil || w.serverInit[0] != msgKexInit {
		return fmt.Errorf("the server began with %v (%w)", w.serverInit, err)
	}
	return nil
}

// sendInit begins an exchange of keys.
func (w *wire) sendInit() {
	w.clientInit = ssh.Marshal(struct {
		Number                            byte
		Cookie                            [16]byte
		Kex, HostKey, C1, C2, M1, M2      []string
		Comp1, Comp2, Language1, Language []string
		Follows                           bool
		Reserved                          uint32
	}{
		Number: msgKexInit, Kex: []string{"curve25519-sha256", "kex-strict-c-v00@openssh.com"}, HostKey: []string{ssh.KeyAlgoED25519},
		C1: []string{ssh.CipherAES128GCM}, C2: []string{ssh.CipherAES128GCM},
		M1: []string{ssh.HMACSHA256ETM}, M2: []string{ssh.HMACSHA256ETM},
		Comp1: []string{"none"}, Comp2: []string{"none"},
	})
	_ = w.send(w.clientInit)
}

// exchange agrees on keys.
func (w *wire) exchange() error {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	mine := private.PublicKey().Bytes()
	if err := w.send(ssh.Marshal(struct {
		Number byte
		Key    []byte
	}{msgKexECDHInit, mine})); err != nil {
		return err
	}
	packet, err := w.next()
	if err != nil {
		return err
	}
	var reply struct{ HostKey, Key, Signature []byte }
	if packet[0] != msgKexECDHReply {
		return fmt.Errorf("message %d in place of the server's key", packet[0])
	}
	if err := ssh.Unmarshal(append([]byte{}, packet[1:]...), &reply); err != nil {
		return err
	}
	theirs, err := ecdh.X25519().NewPublicKey(reply.Key)
	if err != nil {
		return err
	}
	shared, err := private.ECDH(theirs)
	if err != nil {
		return err
	}
	secret := ssh.Marshal(struct{ K *big.Int }{new(big.Int).SetBytes(shared)})
	hash := sha256.New()
	hash.Write(ssh.Marshal(struct{ VC, VS, IC, IS, KS, QC, QS []byte }{
		[]byte(clientVersion), []byte(w.serverVersion), w.clientInit, w.serverInit, reply.HostKey, mine, reply.Key,
	}))
	hash.Write(secret)
	h := hash.Sum(nil)
	if w.session == nil {
		w.session = h
	}
	derive := func(letter byte, length int) []byte {
		sum := sha256.Sum256(append(append(append(append([]byte{}, secret...), h...), letter), w.session...))
		return sum[:length]
	}
	if err := w.send([]byte{msgNewKeys}); err != nil {
		return err
	}
	w.out = newSealer(derive('C', 16), derive('A', 12))
	packet, err = w.next()
	if err != nil || packet[0] != msgNewKeys {
		return fmt.Errorf("message %v in place of new keys (%v)", packet, err)
	}
	w.in = newSealer(derive('D', 16), derive('B', 12))
	return nil
}

// send sends one packet.
func (w *wire) send(payload []byte) error {
	_, err := w.conn.Write(w.seal(payload))
	return err
}

// sendAll sends packets in one write.
func (w *wire) sendAll(payloads ...[]byte) error {
	var all []byte
	for _, payload := range payloads {
		all = append(all, w.seal(payload)...)
	}
	_, err := w.conn.Write(all)
	return err
}

// seal is a payload as it goes over the wire (RFC 4253, section 6).
func (w *wire) seal(payload []byte) []byte {
	block, covered := 8, 4 // what the padding's count begins with
	if w.out != nil {
		block, covered = 16, 0
	}
	padding := block - (covered+1+len(payload))%block
	if padding < 4 {
		padding += block
	}
	packet := binary.BigEndian.AppendUint32(nil, uint32(1+len(payload)+padding))
	packet = append(packet, byte(padding))
	packet = append(packet, payload...)
	packet = append(packet, make([]byte, padding)...)
	if w.out == nil {
		return packet
	}
	return w.out.aead.Seal(packet[:4:4], w.out.next(), packet[4:], packet[:4])
}

// next is the next packet's payload.
func (w *wire) next() ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(w.reads, head[:]); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head[:])
	if length > 256<<10 {
		return nil, fmt.Errorf("a packet of %d bytes", length)
	}
	if w.in != nil {
		length += 16
	}
	packet := make([]byte, length)
	if _, err := io.ReadFull(w.reads, packet); err != nil {
		return nil, err
	}
	if w.in != nil {
		var err error
		if packet, err = w.in.aead.Open(packet[:0], w.in.next(), packet, head[:]); err != nil {
			return nil, err
		}
	}
	return packet[1 : len(packet)-int(packet[0])], nil
}

// await reads until a packet of one of the numbers comes.
func (w *wire) await(numbers ...byte) ([]byte, error) {
	for {
		packet, err := w.next()
		if err != nil {
			return nil, err
		}
		for _, number := range numbers {
			if packet[0] == number {
				return packet, nil
			}
		}
		if packet[0] == msgDisconnect {
			return nil, errDisconnected
		}
	}
}

var errDisconnected = errors.New("the server disconnects")

// gone is whether the server ends the connection, whatever it still says.
func (w *wire) gone() bool {
	for {
		if _, err := w.next(); err != nil {
			var late net.Error
			return !(errors.As(err, &late) && late.Timeout())
		}
	}
}

// meet is a connection whose keys are agreed and whose client may try to log in.
func meet(t *testing.T, s *stand) *wire {
	t.Helper()
	w := greet(t, s)
	if err := w.meet(); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *wire) meet() error {
	if err := w.exchange(); err != nil {
		return err
	}
	_ = w.send(ssh.Marshal(struct {
		Number byte
		Name   string
	}{msgServiceRequest, "ssh-userauth"}))
	_, err := w.await(msgServiceAccept)
	return err
}

// ask asks whether a key would do, and returns the number of the answer.
func (w *wire) ask(user string, key ssh.PublicKey, algorithm string) (byte, error) {
	_ = w.send(ssh.Marshal(struct {
		Number                byte
		User, Service, Method string
		Signed                bool
		Algorithm             string
		Key                   []byte
	}{msgAuthRequest, user, "ssh-connection", "publickey", false, algorithm, key.Marshal()}))
	packet, err := w.await(msgAuthKeyAccepted, msgAuthFailure, msgAuthSuccess)
	if err != nil {
		return 0, err
	}
	return packet[0], nil
}

// sign logs in with a key.
func (w *wire) sign(user string, key ssh.Signer) (byte, error) {
	return w.signAs(user, key, key.PublicKey().Type(), func(data []byte) (*ssh.Signature, error) { return key.Sign(rand.Reader, data) })
}

// signAs logs in with a key under an algorithm's name, however it is signed.
func (w *wire) signAs(user string, key ssh.Signer, algorithm string, sign func(data []byte) (*ssh.Signature, error)) (byte, error) {
	signed, err := w.signed(user, key, algorithm, sign)
	if err != nil {
		return 0, err
	}
	_ = w.send(signed)
	packet, err := w.await(msgAuthFailure, msgAuthSuccess)
	if err != nil {
		return 0, err
	}
	return packet[0], nil
}

// signed is the message that logs in with a key.
func (w *wire) signed(user string, key ssh.Signer, algorithm string, sign func(data []byte) (*ssh.Signature, error)) ([]byte, error) {
	asked := ssh.Marshal(struct {
		Number                byte
		User, Service, Method string
		Signed                bool
		Algorithm             string
		Key                   []byte
	}{msgAuthRequest, user, "ssh-connection", "publickey", true, algorithm, key.PublicKey().Marshal()})
	signature, err := sign(append(ssh.Marshal(struct{ Session []byte }{w.session}), asked...))
	if err != nil {
		return nil, err
	}
	return append(asked, ssh.Marshal(struct{ Signature []byte }{ssh.Marshal(signature)})...), nil
}

// enter is a connection that is logged in.
func enter(t *testing.T, s *stand, key ssh.Signer) *wire {
	t.Helper()
	w := meet(t, s)
	if answer, err := w.sign(s.account(), key); answer != msgAuthSuccess {
		t.Fatalf("not let in: %d (%v)", answer, err)
	}
	return w
}

// channelOpen asks for a channel, to be called number here.
func channelOpen(kind string, number, window uint32, about []byte) []byte {
	return append(ssh.Marshal(struct {
		Number              byte
		Kind                string
		Ours, Window, Limit uint32
	}{msgChannelOpen, kind, number, window, 32 << 10}), about...)
}

// open opens a channel and returns the server's number of it.
func (w *wire) open(kind string, number, window uint32, about []byte) (uint32, error) {
	_ = w.send(channelOpen(kind, number, window, about))
	packet, err := w.await(msgChannelConfirmed, msgChannelFailed)
	if err != nil {
		return 0, err
	}
	if packet[0] == msgChannelFailed {
		return 0, fmt.Errorf("the channel is refused: %q", packet[9:])
	}
	return binary.BigEndian.Uint32(packet[5:]), nil
}

// channelRequest is a request in a channel.
func channelRequest(channel uint32, kind string, reply bool, about []byte) []byte {
	return append(ssh.Marshal(struct {
		Number  byte
		Channel uint32
		Kind    string
		Reply   bool
	}{msgChannelRequest, channel, kind, reply}), about...)
}

// ask makes a request in a channel, and returns whether it is granted.
func (w *wire) request(channel uint32, kind string, about []byte) (bool, error) {
	_ = w.send(channelRequest(channel, kind, true, about))
	packet, err := w.await(msgChannelSuccess, msgChannelFailure)
	return err == nil && packet[0] == msgChannelSuccess, err
}

func globalRequest(kind string, reply bool, about []byte) []byte {
	return append(ssh.Marshal(struct {
		Number byte
		Kind   string
		Reply  bool
	}{msgGlobalRequest, kind, reply}), about...)
}

func channelData(channel uint32, data []byte) []byte {
	return ssh.Marshal(struct {
		Number  byte
		Channel uint32
		Data    []byte
	}{msgChannelData, channel, data})
}

// textOf is a string as the protocol writes it.
func textOf(text string) []byte {
	return ssh.Marshal(struct{ Text string }{text})
}

// ended is what a program said on standard output, once the server has closed
// its channel. This side does not close it.
func (w *wire) ended(channel uint32) (string, error) {
	var said strings.Builder
	for {
		packet, err := w.await(msgChannelData, msgChannelClose)
		if err != nil || packet[0] == msgChannelClose {
			return said.String(), err
		}
		if binary.BigEndian.Uint32(packet[1:]) == channel {
			said.Write(packet[9:])
		}
	}
}

// run runs a command in a new session, which is called number here.
func (w *wire) run(number uint32, command string) (string, error) {
	channel, err := w.open("session", number, 1<<30, nil)
	if err != nil {
		return "", err
	}
	if ok, err := w.request(channel, "exec", textOf(command)); !ok {
		return "", fmt.Errorf("exec is refused (%w)", err)
	}
	said, err := w.ended(number)
	_ = w.send(channelClose(channel))
	return said, err
}

func channelEOF(channel uint32) []byte {
	return ssh.Marshal(struct {
		Number  byte
		Channel uint32
	}{msgChannelEOF, channel})
}

func channelClose(channel uint32) []byte {
	return ssh.Marshal(struct {
		Number  byte
		Channel uint32
	}{msgChannelClose, channel})
}

// port is the port of an address.
func port(address string) uint32 {
	_, text, _ := net.SplitHostPort(address)
	number, _ := strconv.ParseUint(text, 10, 16)
	return uint32(number)
}
