package sftp

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestListingLine(t *testing.T) {
	t.Parallel()
	// Lines have local time in them, as those of ls have.
	now := time.Date(2026, 8, 21, 12, 0, 0, 0, time.Local)
	// By the calendar: half a year ago the clocks may have gone differently.
	at := func(daysAgo int) unix.Timespec { return unix.NsecToTimespec(now.AddDate(0, 0, -daysAgo).UnixNano()) }
	soon := unix.NsecToTimespec(now.Add(time.Minute).UnixNano())
	for _, c := range []struct {
		mode        uint32
		links       uint64
		size        int64
		modified    unix.Timespec
		user, group string
		want        string
	}{
		{unix.S_IFREG | 0o644, 1, 1234, at(0), "inmanta", "inmanta", "-rw-r--r--    1 inmanta  inmanta      1234 Aug 21 12:00 name"},
		{unix.S_IFDIR | 0o755, 12, 4096, at(16), "root", "root", "drwxr-xr-x   12 root     root         4096 Aug  5 12:00 name"},
		{unix.S_IFLNK | 0o777, 1, 7, at(182), "1000", "100000", "lrwxrwxrwx    1 1000     100000          7 Feb 20 12:00 name"},
		{unix.S_IFREG | 0o4755, 1, 0, at(183), "root", "root", "-rwsr-xr-x    1 root     root            0 Feb 19  2026 name"},
		{unix.S_IFREG | 0o2644, 1, 0, soon, "root", "root", "-rw-r-Sr--    1 root     root            0 Aug 21  2026 name"},
		{unix.S_IFDIR | 0o1777, 1000, 1 << 40, at(0), "long-user-name", "grüpp", "drwxrwxrwt  1000 long-user-name grüpp    1099511627776 Aug 21 12:00 name"},
		{unix.S_IFDIR | 0o1770, 1, 0, at(0), "u", "g", "drwxrwx--T    1 u        g               0 Aug 21 12:00 name"},
		{unix.S_IFIFO | 0o4600, 1, 0, at(0), "u", "g", "prwS------    1 u        g               0 Aug 21 12:00 name"},
		{unix.S_IFSOCK | 0o2070, 1, 0, at(0), "u", "g", "s---rws---    1 u        g               0 Aug 21 12:00 name"},
		{unix.S_IFCHR, 1, 0, at(0), "u", "g", "c---------    1 u        g               0 Aug 21 12:00 name"},
		{unix.S_IFBLK, 1, 0, at(0), "u", "g", "b---------    1 u        g               0 Aug 21 12:00 name"},
		{0, 1, 0, at(0), "u", "g", "?---------    1 u        g               0 Aug 21 12:00 name"},
	} {
		st := unix.Stat_t{Mode: c.mode, Size: c.size, Mtim: c.modified}
		setLinks(&st, c.links)
		if got := string(appendListing(nil, "name", &st, c.user, c.group, now)); got != c.want {
			t.Errorf("\n got %q\nwant %q", got, c.want)
		}
	}
}

// setLinks knows that the field is of another size on each architecture.
func setLinks(st *unix.Stat_t, links uint64) {
	set(&st.Nlink, links)
}

func set[T uint32 | uint64](field *T, value uint64) { *field = T(value) }
