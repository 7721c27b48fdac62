package privilege

import (
	"fmt"
	"os/user"
	"strconv"
)

// Account is the user of the orchestrator's image that owns the orchestrator's files.
const Account = "inmanta"

// Lookup is the identity of a user of the image, without the group of root.
func Lookup(name string) (Identity, error) {
	entry, err := user.Lookup(name)
	if err != nil {
		return Identity{}, fmt.Errorf("the image has no user %s, so it is not an orchestrator's: %w", name, err)
	}
	var id Identity
	if id.UID, err = strconv.Atoi(entry.Uid); err != nil {
		return Identity{}, fmt.Errorf("reading the user id of %s: %w", name, err)
	}
	if id.GID, err = strconv.Atoi(entry.Gid); err != nil {
		return Identity{}, fmt.Errorf("reading the group id of %s: %w", name, err)
	}
	groups, err := entry.GroupIds()
	if err != nil {
		return Identity{}, fmt.Errorf("reading the groups of %s: %w", name, err)
	}
	for _, group := range groups {
		if gid, err := strconv.Atoi(group); err == nil && gid != 0 {
			id.Groups = append(id.Groups, gid)
		}
	}
	return id, nil
}
