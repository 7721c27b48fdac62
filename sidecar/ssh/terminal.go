package ssh

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// terminal is a session's pseudo-terminal.
type terminal struct {
	master, slave *os.File
	once          sync.Once
}

// openTerminal makes a terminal as the client describes it.
func openTerminal(asked ptyRequest) (*terminal, error) {
	master, slave, err := pty.Open()
	if err != nil {
		return nil, err
	}
	t := &terminal{master: master, slave: slave}
	if err := t.resize(asked.Columns, asked.Rows, asked.Width, asked.Height); err != nil {
		t.close()
		return nil, fmt.Errorf("setting its size: %w", err)
	}
	if err := t.apply(asked.Modes); err != nil {
		t.close()
		return nil, fmt.Errorf("setting its modes: %w", err)
	}
	return t, nil
}

// close ends the terminal, which hangs up on what is on it. The slave is the
// program's; it is closed here for when none has started.
func (t *terminal) close() {
	t.once.Do(func() {
		_ = t.slave.Close()
		_ = t.master.Close()
	})
}

// resize sets the size in characters and in pixels. What is more than a
// terminal can be is as large as it can be.
func (t *terminal) resize(columns, rows, width, height uint32) error {
	most := func(n uint32) uint16 { return uint16(min(n, 1<<16-1)) }
	return pty.Setsize(t.master, &pty.Winsize{Cols: most(columns), Rows: most(rows), X: most(width), Y: most(height)})
}

// apply sets the modes that the client's own terminal has.
func (t *terminal) apply(modes string) error {
	control, err := t.master.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = control.Control(func(fd uintptr) {
		settings, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		if err != nil {
			failed = err
			return
		}
		setModes(settings, modes)
		failed = unix.IoctlSetTermios(int(fd), unix.TCSETS, settings)
	})
	if err != nil {
		return err
	}
	return failed
}

// setModes reads encoded terminal modes (RFC 4254, section 8): pairs of an
// opcode and a number, up to opcode 0 or one that has another form. What is cut
// short or unknown changes nothing.
func setModes(t *unix.Termios, modes string) {
	for encoded := []byte(modes); len(encoded) >= 5 && encoded[0] > 0 && encoded[0] < 160; encoded = encoded[5:] {
		opcode, value := encoded[0], binary.BigEndian.Uint32(encoded[1:])
		if index, ok := controlCharacters[opcode]; ok {
			// 255 says that there is none.
			t.Cc[index] = byte(value)
			if value >= 255 {
				t.Cc[index] = 0
			}
		}
		if flag, ok := inputFlags[opcode]; ok {
			t.Iflag = set(t.Iflag, flag, value)
		}
		if flag, ok := localFlags[opcode]; ok {
			t.Lflag = set(t.Lflag, flag, value)
		}
		if flag, ok := outputFlags[opcode]; ok {
			t.Oflag = set(t.Oflag, flag, value)
		}
		switch opcode {
		case 90, 91: // CS7, CS8
			if value != 0 {
				t.Cflag = t.Cflag&^unix.CSIZE | map[byte]uint32{90: unix.CS7, 91: unix.CS8}[opcode]
			}
		case 92:
			t.Cflag = set(t.Cflag, unix.PARENB, value)
		case 93:
			t.Cflag = set(t.Cflag, unix.PARODD, value)
		}
	}
}

func set(flags, flag, value uint32) uint32 {
	if value == 0 {
		return flags &^ flag
	}
	return flags | flag
}

// The opcodes of RFC 4254, section 8, and IUTF8 of RFC 8160.
var (
	controlCharacters = map[byte]int{
		1: unix.VINTR, 2: unix.VQUIT, 3: unix.VERASE, 4: unix.VKILL, 5: unix.VEOF, 6: unix.VEOL, 7: unix.VEOL2,
		8: unix.VSTART, 9: unix.VSTOP, 10: unix.VSUSP, 12: unix.VREPRINT, 13: unix.VWERASE, 14: unix.VLNEXT, 18: unix.VDISCARD,
	}
	inputFlags = map[byte]uint32{
		30: unix.IGNPAR, 31: unix.PARMRK, 32: unix.INPCK, 33: unix.ISTRIP, 34: unix.INLCR, 35: unix.IGNCR, 36: unix.ICRNL,
		37: unix.IUCLC, 38: unix.IXON, 39: unix.IXANY, 40: unix.IXOFF, 41: unix.IMAXBEL, 42: unix.IUTF8,
	}
	localFlags = map[byte]uint32{
		50: unix.ISIG, 51: unix.ICANON, 52: unix.XCASE, 53: unix.ECHO, 54: unix.ECHOE, 55: unix.ECHOK, 56: unix.ECHONL,
		57: unix.NOFLSH, 58: unix.TOSTOP, 59: unix.IEXTEN, 60: unix.ECHOCTL, 61: unix.ECHOKE, 62: unix.PENDIN,
	}
	outputFlags = map[byte]uint32{
		70: unix.OPOST, 71: unix.OLCUC, 72: unix.ONLCR, 73: unix.OCRNL, 74: unix.ONOCR, 75: unix.ONLRET,
	}
)
