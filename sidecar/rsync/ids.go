package rsync

import (
	"os"
	"os/user"
	"slices"
	"strconv"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/wire"
)

// longestID is the longest name of a user or group, in bytes: its length is one
// byte on the wire.
const longestID = 255

// mostIDs limits how many users or groups a list may name.
const mostIDs = 100_000

// nameTable turns numbers of users, or of groups, into names.
type nameTable struct {
	lookUp func(id uint32) string
	used   []uint32
	known  map[uint32]bool
}

func userNames() *nameTable {
	return &nameTable{known: map[uint32]bool{}, lookUp: func(id uint32) string {
		if found, err := user.LookupId(strconv.FormatUint(uint64(id), 10)); err == nil {
			return found.Username
		}
		return ""
	}}
}

func groupNames() *nameTable {
	return &nameTable{known: map[uint32]bool{}, lookUp: func(id uint32) string {
		if found, err := user.LookupGroupId(strconv.FormatUint(uint64(id), 10)); err == nil {
			return found.Name
		}
		return ""
	}}
}

// use remembers that a number was sent.
func (n *nameTable) use(id uint32) {
	if !n.known[id] {
		n.known[id] = true
		n.used = append(n.used, id)
	}
}

// send sends the names of all numbers used. withRoot ends them with the name
// of 0, which has none before protocol 30.
func (n *nameTable) send(out *wire.Encoder, withRoot bool) error {
	for _, id := range n.used {
		if name := n.lookUp(id); id != 0 && name != "" && len(name) <= longestID {
			_ = out.Number(int32(id))
			_ = out.Byte(byte(len(name)))
			_ = out.Text(name)
		}
	}
	if !withRoot {
		return out.Number(0)
	}
	name := n.lookUp(0)
	_ = out.Number(0)
	_ = out.Byte(byte(len(name)))
	return out.Text(name)
}

// receiveNames reads what send sends.
func receiveNames(in *wire.Reader, withRoot bool) (map[uint32]string, error) {
	names := map[uint32]string{}
	for {
		id, err := in.Number()
		if err != nil {
			return nil, err
		}
		if id == 0 && !withRoot {
			return names, nil
		}
		length, err := in.Byte()
		if err != nil {
			return nil, err
		}
		if names[uint32(id)], err = in.Text(int(length), longestID); err != nil {
			return nil, err
		}
		if id == 0 {
			return names, nil
		}
		if len(names) > mostIDs {
			return nil, wire.Broken("more than %d users or groups are named", mostIDs)
		}
	}
}

// owners turns users and groups of the sender into ours, by name where there
// is one of that name here.
type owners struct {
	privileged bool
	numeric    bool
	users      map[uint32]string
	groups     map[uint32]string
	userHere   map[uint32]uint32
	groupHere  map[uint32]int64 // -1: none that we may give a file to
}

// apply sets an entry's owner and group to ours.
func (o *owners) apply(e *entry, owner, group bool) {
	if owner && o.privileged && !o.numeric {
		e.uid = o.user(e.uid)
	}
	if group && (!o.privileged || !o.numeric) {
		if id := o.group(e.gid); id < 0 {
			e.skipGroup = true
		} else {
			e.gid = uint32(id)
		}
	}
}

func (o *owners) user(id uint32) uint32 {
	here, known := o.userHere[id]
	if !known {
		here = id
		if found, err := user.Lookup(o.users[id]); o.users[id] != "" && err == nil {
			here = number(found.Uid, id)
		}
		o.userHere[id] = here
	}
	return here
}

func (o *owners) group(id uint32) int64 {
	here, known := o.groupHere[id]
	if !known {
		mine := id
		if found, err := user.LookupGroup(o.groups[id]); o.groups[id] != "" && !o.numeric && err == nil {
			mine = number(found.Gid, id)
		}
		here = int64(mine)
		// Only the superuser gives files to groups it is not in.
		if !o.privileged && !memberOf(int(mine)) {
			here = -1
		}
		o.groupHere[id] = here
	}
	return here
}

func number(text string, otherwise uint32) uint32 {
	value, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return otherwise
	}
	return uint32(value)
}

func memberOf(group int) bool {
	if os.Getegid() == group {
		return true
	}
	groups, err := os.Getgroups()
	return err == nil && slices.Contains(groups, group)
}
