package sftp

import (
	"os"
	"strconv"
	"strings"
)

// maxAccountName is the longest name that is shown, in bytes; Linux makes none
// that is longer.
const maxAccountName = 32

// accounts are the names of users and groups. The files are read when the
// first is asked for, and not again in the session.
type accounts struct {
	passwd, group string // paths

	read   bool
	users  map[uint32]string
	groups map[uint32]string
	homes  map[string]string
}

// user is the name of a user, or his number where he has none.
func (a *accounts) user(uid uint32) string {
	if name, known := a.userName(uid); known {
		return name
	}
	return strconv.FormatUint(uint64(uid), 10)
}

// groupOf is the name of a group, or its number where it has none.
func (a *accounts) groupOf(gid uint32) string {
	if name, known := a.groupName(gid); known {
		return name
	}
	return strconv.FormatUint(uint64(gid), 10)
}

func (a *accounts) userName(uid uint32) (string, bool) {
	a.load()
	name, known := a.users[uid]
	return name, known
}

func (a *accounts) groupName(gid uint32) (string, bool) {
	a.load()
	name, known := a.groups[gid]
	return name, known
}

func (a *accounts) home(user string) (string, bool) {
	a.load()
	home, known := a.homes[user]
	return home, known
}

func (a *accounts) load() {
	if a.read {
		return
	}
	a.read = true
	// Without these files there are numbers to show.
	users, _ := os.ReadFile(a.passwd)
	groups, _ := os.ReadFile(a.group)
	a.users, a.homes = parseUsers(string(users))
	a.groups = parseGroups(string(groups))
}

// parseUsers takes a file like /etc/passwd apart: names by uid and homes by
// name. As for the C library, the first line for an id or a name counts.
func parseUsers(text string) (names map[uint32]string, homes map[string]string) {
	names, homes = map[uint32]string{}, map[string]string{}
	for line := range strings.Lines(text) {
		columns := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(columns) < 6 || columns[0] == "" {
			continue
		}
		if id, err := strconv.ParseUint(columns[2], 10, 32); err == nil {
			addName(names, uint32(id), columns[0])
			if _, taken := homes[columns[0]]; !taken {
				homes[columns[0]] = columns[5]
			}
		}
	}
	return names, homes
}

// parseGroups takes a file like /etc/group apart: names by gid.
func parseGroups(text string) map[uint32]string {
	names := map[uint32]string{}
	for line := range strings.Lines(text) {
		columns := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(columns) < 3 || columns[0] == "" {
			continue
		}
		if id, err := strconv.ParseUint(columns[2], 10, 32); err == nil {
			addName(names, uint32(id), columns[0])
		}
	}
	return names
}

func addName(names map[uint32]string, id uint32, name string) {
	if _, taken := names[id]; !taken && len(name) <= maxAccountName {
		names[id] = name
	}
}
