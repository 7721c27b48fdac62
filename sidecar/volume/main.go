package volume

import (
	"errors"
	"fmt"
	"io"
	"strconv"
)

// errUsage says what the verb takes.
var errUsage = errors.New("volume takes `pack FOLDER [--exclude NAME…]`, `unpack FOLDER [--uid-from N --uid-to N] [--gid-from N --gid-to N]`, " +
	"`room FOLDER`, `state FOLDER`, `swap FOLDER`, `swap-back FOLDER` or `discard FOLDER`")

// Run does what the arguments ask for: a word, a folder, and what goes with it.
// A summary is the last line that it writes to said.
func Run(args []string, in io.Reader, out, said io.Writer) error {
	if len(args) < 2 {
		return errUsage
	}
	word, where, rest := args[0], args[1], args[2:]
	switch {
	case word == "pack":
		excluded, err := exclusions(rest)
		if err != nil {
			return err
		}
		summary, err := Pack(where, excluded, out)
		if err != nil {
			return err
		}
		return summary.Write(said)
	case word == "unpack":
		owners, err := ownersOf(rest)
		if err != nil {
			return err
		}
		summary, err := Unpack(where, owners, in)
		if err != nil {
			return err
		}
		return summary.Write(said)
	case len(rest) > 0:
	case word == "room":
		return Look(where, out)
	case word == "state":
		return PrintState(where, out)
	case word == "swap":
		return Swap(where)
	case word == "swap-back":
		return SwapBack(where)
	case word == "discard":
		return Discard(where)
	}
	return errUsage
}

// exclusions reads `--exclude NAME…`, any number of times.
func exclusions(args []string) ([]string, error) {
	var names []string
	for n := 0; n < len(args); n += 2 {
		if args[n] != "--exclude" || n+1 == len(args) {
			return nil, errUsage
		}
		if !below(args[n+1]) {
			return nil, fmt.Errorf("%q is no name below the volume", args[n+1])
		}
		names = append(names, args[n+1])
	}
	return names, nil
}

// ownersOf reads whose files become whose. Each takes both its flags, or none.
func ownersOf(args []string) (Owners, error) {
	var o Owners
	flags := map[string]*uint32{"--uid-from": &o.UIDFrom, "--uid-to": &o.UIDTo, "--gid-from": &o.GIDFrom, "--gid-to": &o.GIDTo}
	given := map[string]bool{}
	for n := 0; n < len(args); n += 2 {
		value, known := flags[args[n]]
		if !known || given[args[n]] || n+1 == len(args) {
			return o, errUsage
		}
		id, err := strconv.ParseUint(args[n+1], 10, 32)
		if err != nil || !isID(int(id)) {
			return o, fmt.Errorf("%s: %q is no id", args[n], args[n+1])
		}
		*value, given[args[n]] = uint32(id), true
	}
	if given["--uid-from"] != given["--uid-to"] || given["--gid-from"] != given["--gid-to"] {
		return o, errUsage
	}
	return o, o.check()
}
