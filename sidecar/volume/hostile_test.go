package volume

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// entries is a tar file, written with what Pack does not use.
func entries(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var text bytes.Buffer
	archive := tar.NewWriter(&text)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		body := ""
		if h.Typeflag == tar.TypeReg {
			body = h.Uname // what is in it: no user's name is ever packed
			h.Uname, h.Size = "", int64(len(body))
		}
		if h.Typeflag != tar.TypeXGlobalHeader {
			h.Mode |= 0o700
		}
		if err := archive.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(archive, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}

func folderEntry(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeDir} }
func linkEntry(name, to string) tar.Header {
	return tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeSymlink}
}
func hardLinkEntry(name, to string) tar.Header {
	return tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeLink}
}

// place is a folder with a volume in it, and one beside it that nothing may get into.
func place(t testing.TB) (volume, beside string) {
	t.Helper()
	top := t.TempDir()
	volume, beside = filepath.Join(top, "volume"), filepath.Join(top, "beside")
	for _, folder := range []string{volume, beside, filepath.Join(volume, "own")} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{filepath.Join(volume, "own/file"), filepath.Join(beside, "file")} {
		if err := os.WriteFile(file, []byte("as it was"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return volume, beside
}

func TestStreamsThatAreRefused(t *testing.T) {
	t.Parallel()
	top := folderEntry("./")
	good := []tar.Header{top, folderEntry("a/"), {Name: "a/f", Uname: "x"}, {Name: "g", Uname: "y"}}
	with := func(more ...tar.Header) []byte { return entries(t, append(slices.Clone(good), more...)...) }
	raw := func(h header, content string) []byte {
		first := header{kind: kindFolder, name: "./", mode: 0o755}
		text := h.appendTo(first.appendTo(nil))
		return append(padded(append(text, content...), len(content)), make([]byte, 2*block)...)
	}
	sparse := func(records ...string) []byte {
		var all []byte
		for pair := range slices.Chunk(records, 2) {
			all = record(all, pair[0], []byte(pair[1]))
		}
		first, extended := header{kind: kindFolder, name: "./", mode: 0o755}, header{kind: kindExtended, name: "x", size: int64(len(all))}
		file := header{kind: kindFile, name: "f", size: 1}
		text := padded(append(extended.appendTo(first.appendTo(nil)), all...), len(all))
		return append(padded(append(file.appendTo(text), 'x'), 1), make([]byte, 2*block)...)
	}
	whole := with()
	for name, c := range map[string]struct {
		tar  []byte
		says string
	}{
		"an absolute name":            {with(tar.Header{Name: "/etc/x"}), "no name below the volume"},
		"a way up":                    {with(tar.Header{Name: "../beside/x"}), "no name below the volume"},
		"a way up in the middle":      {with(tar.Header{Name: "a/../../beside/x"}), "no name below the volume"},
		"a way up at the end":         {with(folderEntry("a/../")), "no name below the volume"},
		"two slashes":                 {with(tar.Header{Name: "a//x"}), "no name below the volume"},
		"a dot":                       {with(tar.Header{Name: "./x"}), "no name below the volume"},
		"no name":                     {raw(header{kind: kindFile}, ""), "no name below the volume"},
		"a name that is too long":     {with(tar.Header{Name: strings.Repeat("x", 256)}), "no name below the volume"},
		"what restores work in":       {with(folderEntry(restoreName + "/")), "no name below the volume"},
		"a file in that":              {with(tar.Header{Name: restoreName + "/state"}), "no name below the volume"},
		"through a link":              {with(linkEntry("l", "a"), tar.Header{Name: "l/x"}), "not in a folder that the stream is at"},
		"through a link out":          {with(linkEntry("l", "../../../beside"), tar.Header{Name: "l/x"}), "not in a folder"},
		"through an absolute link":    {with(linkEntry("l", "/"), tar.Header{Name: "l/x"}), "not in a folder"},
		"a link, then a folder":       {with(linkEntry("l", "../../../beside"), folderEntry("l/"), tar.Header{Name: "l/x"}), "twice"},
		"a folder, then a link":       {with(folderEntry("d/"), linkEntry("d", "../../../beside"), tar.Header{Name: "d/x"}), ""},
		"over a link":                 {with(linkEntry("l", "../../../beside/file"), tar.Header{Name: "l", Uname: "changed"}), "twice"},
		"below a file":                {with(tar.Header{Name: "g/x"}), "not in a folder"},
		"before its folder":           {with(tar.Header{Name: "b/x"}, folderEntry("b/")), "not in a folder"},
		"after its folder":            {with(tar.Header{Name: "a/x"}), "not in a folder"},
		"a file twice":                {with(tar.Header{Name: "g", Uname: "z"}), "twice"},
		"a folder twice":              {with(folderEntry("a/")), "twice"},
		"a folder as a file":          {with(tar.Header{Name: "a", Uname: "z"}), "twice"},
		"the top twice":               {with(top), "twice, or not at its beginning"},
		"no top":                      {entries(t, good[1:]...), "not in a folder"},
		"a file as the top":           {entries(t, tar.Header{Name: "."}), "no name below the volume"},
		"nothing at all":              {entries(t), "empty"},
		"a device":                    {with(tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}), "is not unpacked"},
		"a disk":                      {with(tar.Header{Name: "sda", Typeflag: tar.TypeBlock, Devmajor: 8}), "is not unpacked"},
		"a record for all":            {with(tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"path": "x"}}), "is not unpacked"},
		"GNU's way":                   {with(tar.Header{Name: strings.Repeat("long", 60), Format: tar.FormatGNU}), "another way than POSIX's"},
		"GNU's sparse files":          {raw(header{kind: 'S', name: "s"}, ""), "damaged"},
		"a folder without its slash":  {with(tar.Header{Name: "d", Typeflag: tar.TypeDir}), "is a folder, and its name that of something else"},
		"a hard link out":             {with(hardLinkEntry("h", "../../../beside/file")), "no name below the volume"},
		"a hard link to the root":     {with(hardLinkEntry("h", "/etc/passwd")), "no name below the volume"},
		"a hard link through a link":  {with(linkEntry("l", "../../../beside"), hardLinkEntry("h", "l/file")), "its other name"},
		"a hard link to a link":       {with(linkEntry("l", "../../../beside/file"), hardLinkEntry("h", "l")), "no file"},
		"a hard link to a folder":     {with(hardLinkEntry("h", "a")), "no file"},
		"a hard link to nothing":      {with(hardLinkEntry("h", "nothing")), "its other name"},
		"a hard link to itself":       {with(hardLinkEntry("h", "h")), "its other name"},
		"a hard link over a file":     {with(hardLinkEntry("g", "a/f")), "twice"},
		"a hard link to a restore's":  {with(hardLinkEntry("h", restoreName+"/state")), "no name below the volume"},
		"a link to nothing":           {raw(header{kind: kindSymlink, name: "l"}, ""), "a link to nothing"},
		"a file with a target":        {raw(header{kind: kindFile, name: "f", link: "x"}, ""), "has a target"},
		"more than there is room for": {raw(header{kind: kindFile, name: "f", size: 1 << 60}, ""), "not enough room"},
		"a size below nothing":        {sparse("size", "-1"), ""},
		"a folder with content":       {raw(header{kind: kindFolder, name: "f/", size: 512}, strings.Repeat("x", 512)), ""},
		"an attribute of the system":  {raw(header{kind: kindFile, name: "f", attributes: []attribute{{"security.selinux", "x"}}}, ""), "is not unpacked"},
		"a trusted attribute":         {raw(header{kind: kindFile, name: "f", attributes: []attribute{{"trusted.overlay.opaque", "y"}}}, ""), "is not unpacked"},
		"an attribute of a link":      {raw(header{kind: kindSymlink, name: "f", link: "x", attributes: []attribute{{"user.x", "y"}}}, ""), "is not unpacked"},
		"records that nobody knows":   {with(tar.Header{Name: "f", PAXRecords: map[string]string{"VENDOR.x": "y"}}), "is not unpacked"},
		"sparse records":              {sparse("GNU.sparse.map", "0,1", "GNU.sparse.size", "1", "GNU.sparse.numblocks", "1"), "is not unpacked"},
		"an owner that there is not":  {raw(header{kind: kindFile, name: "f", uid: 1<<32 - 1}, ""), "an owner that there is not"},
		"a mode that there is not":    {raw(header{kind: kindFile, name: "f", mode: 0o100644}, ""), "a mode or an owner"},
		"deeper than there are folders": {with(func() (deep []tar.Header) {
			for n := range deepest + 2 {
				deep = append(deep, folderEntry(strings.Repeat("d/", n+1)))
			}
			return deep
		}()...), "deeper than"},
		"cut short in a header":     {whole[:block+100], "cut short"},
		"cut short after an entry":  {whole[:2*block], "cut short"},
		"cut short before its end":  {whole[:len(whole)-2*block], "cut short"},
		"cut short in its end":      {whole[:len(whole)-block], "cut short"},
		"something after its end":   {append(slices.Clone(whole), 'x'), "after the end"},
		"more zeros after its end":  {append(slices.Clone(whole), 0), "after the end"},
		"another one after its end": {append(slices.Clone(whole), whole...), "after the end"},
		"no tar file":               {[]byte(strings.Repeat("<html>", 500)), "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, enzstd(t, c.tar), c.says)
		})
	}
	stream := enzstd(t, whole)
	for n := range len(stream) - 1 {
		refused(t, stream[:n], "")
		changed := slices.Clone(stream)
		changed[n] ^= 0x10
		volume, _ := place(t)
		if _, err := Unpack(volume, Owners{}, bytes.NewReader(changed)); err == nil {
			// What is left of it must be what was packed: such bits say nothing.
			if err := Swap(volume); err != nil || members(t, enzstd(t, whole)) == "" {
				t.Errorf("byte %d changed: %v", n, err)
			}
			if text, err := os.ReadFile(filepath.Join(volume, "a/f")); err != nil || string(text) != "x" {
				t.Errorf("byte %d changed, and it is taken: %q, %v", n, text, err)
			}
		}
	}
	refused(t, []byte("<html>"), "damaged")
}

// refused says that a stream is not unpacked, and leaves all as it was.
func refused(t *testing.T, stream []byte, says string) {
	t.Helper()
	volume, beside := place(t)
	before := listing(t, volume) + listing(t, beside)
	_, err := Unpack(volume, Owners{}, bytes.NewReader(stream))
	if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") {
		t.Errorf("it says %v, want one line with %q", err, says)
	}
	if after := listing(t, volume) + listing(t, beside); after != before {
		t.Errorf("it is\n%s\nwas\n%s", after, before)
	}
	if err := Swap(volume); err == nil {
		t.Error("what is not whole takes the place of what is")
	}
	if err := SwapBack(volume); err != nil {
		t.Errorf("undoing nothing: %v", err)
	}
	if err := Discard(volume); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(volume, restoreName)); err == nil {
		t.Error("something is left of it")
	}
}

func FuzzUnpack(f *testing.F) {
	tree := f.TempDir()
	for _, name := range []string{"f", "a/b/c"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o755); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(tree, name), []byte(name), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	stream, _ := pack(f, tree)
	f.Add(unzstd(f, stream))
	f.Add(entries(f, folderEntry("./"), linkEntry("l", "/"), folderEntry("l/"), tar.Header{Name: "l/x"}, hardLinkEntry("h", "l/etc/passwd")))
	f.Add(entries(f, folderEntry("./"), folderEntry("a/"), tar.Header{Name: "a/../../x", Uname: "x"}, hardLinkEntry("h", "a/x")))
	f.Fuzz(func(t *testing.T, text []byte) {
		volume, beside := place(t)
		before := listing(t, volume) + listing(t, beside)
		into := filepath.Join(volume, restoreName)
		if err := os.Mkdir(into, 0o700); err != nil {
			t.Fatal(err)
		}
		top, _, err := openTop(into)
		if err != nil {
			t.Fatal(err)
		}
		defer top.release()
		summary, err := untar(top, Owners{}, bytes.NewReader(text))
		if after := listing(t, volume) + listing(t, beside); after != before {
			t.Fatalf("outside it is\n%s\nwas\n%s", after, before)
		}
		if err != nil {
			return
		}
		// What is taken is there, and can be packed again.
		if err := os.Chmod(into, 0o700); err != nil {
			t.Fatal(err)
		}
		if _, again := pack(t, into); again.Files != summary.Files || again.Bytes != summary.Bytes {
			t.Errorf("it was unpacked as %+v, and packed as %+v", summary, again)
		}
	})
}
