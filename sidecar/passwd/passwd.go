// Package passwd knows the user whose files a sidecar serves, and what that
// user's processes start from.
package passwd

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Account is a line of /etc/passwd.
type Account struct {
	Name, Home, Shell string
	UID, GID          int
	Groups            []int
}

// Inmanta is the user of the orchestrator's image that owns the orchestrator's
// files.
const Inmanta = "inmanta"

// Find looks a user up. A shell that lets nobody in is what images give
// accounts of services: their sessions get one that does.
func Find(name string) (Account, error) {
	entry, err := user.Lookup(name)
	if err != nil {
		return Account{}, fmt.Errorf("the image has no user %s, so it is not an orchestrator's: %w", name, err)
	}
	account := Account{Name: name, Home: entry.HomeDir}
	if account.UID, err = strconv.Atoi(entry.Uid); err != nil {
		return Account{}, fmt.Errorf("reading the user id of %s: %w", name, err)
	}
	if account.GID, err = strconv.Atoi(entry.Gid); err != nil {
		return Account{}, fmt.Errorf("reading the group id of %s: %w", name, err)
	}
	groups, err := entry.GroupIds()
	if err != nil {
		return Account{}, fmt.Errorf("reading the groups of %s: %w", name, err)
	}
	for _, group := range groups {
		if id, err := strconv.Atoi(group); err == nil && id != 0 {
			account.Groups = append(account.Groups, id)
		}
	}
	if account.Shell, err = loginShell(name); err != nil {
		return Account{}, err
	}
	return account, nil
}

// loginShell is the first of the user's shells that the image has.
func loginShell(name string) (string, error) {
	text, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return "", fmt.Errorf("reading the shell of %s: %w", name, err)
	}
	candidates := shells(string(text), name)
	for _, shell := range candidates {
		if info, err := os.Stat(shell); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return shell, nil
		}
	}
	return "", fmt.Errorf("the image has none of the shells %s: sessions cannot run anything", strings.Join(candidates, ", "))
}

// shells are what passwd(5) says is a user's shell, unless that lets nobody in,
// and then those that nearly every image has.
func shells(passwd, name string) []string {
	usual := []string{"/bin/bash", "/bin/sh"}
	for line := range strings.Lines(passwd) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) != 7 || fields[0] != name {
			continue
		}
		if shell := fields[6]; filepath.IsAbs(shell) && !slices.Contains([]string{"nologin", "false"}, filepath.Base(shell)) {
			return append([]string{shell}, usual...)
		}
		return usual // a further line of that name is nobody's
	}
	return usual
}
