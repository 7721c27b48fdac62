package sftp

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const passwdText = `root:x:0:0:root:/root:/bin/bash
# a comment
inmanta:x:995:994::/var/lib/inmanta:/bin/bash
other:x:995:100:the second name of an id:/home/other:/bin/sh
inmanta:x:1995:994:the second line of a name:/elsewhere:/bin/sh
broken:x:minus one:0::/broken:/bin/sh
short:x:7
:x:8:8::/nameless:/bin/sh
+nis::::::
long-long-long-long-long-long-long-long:x:9:9::/long:/bin/sh
last:x:4294967295:0::/last:/bin/sh`

const groupText = `root:x:0:
inmanta:x:994:someone,else
users:x:994:
broken:x:4294967296:
short:x
last:x:7`

func TestAccounts(t *testing.T) {
	t.Parallel()
	names, homes := parseUsers(passwdText)
	if want := map[uint32]string{0: "root", 995: "inmanta", 1995: "inmanta", 4294967295: "last"}; !maps.Equal(names, want) {
		t.Errorf("users %v, want %v", names, want)
	}
	if want := map[string]string{
		"root": "/root", "inmanta": "/var/lib/inmanta", "other": "/home/other", "last": "/last",
		"long-long-long-long-long-long-long-long": "/long",
	}; !maps.Equal(homes, want) {
		t.Errorf("homes %v, want %v", homes, want)
	}
	if got, want := parseGroups(groupText), (map[uint32]string{0: "root", 994: "inmanta", 7: "last"}); !maps.Equal(got, want) {
		t.Errorf("groups %v, want %v", got, want)
	}
}

func TestAccountsAreReadOnceAndMayBeMissing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := accounts{passwd: filepath.Join(dir, "passwd"), group: filepath.Join(dir, "group")}
	without := files
	if got := without.user(995) + " " + without.groupOf(994); got != "995 994" {
		t.Errorf("without files: %q", got)
	}
	if err := os.WriteFile(files.passwd, []byte(passwdText), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := without.user(995); got != "995" {
		t.Errorf("read again: %q", got)
	}
	if got := files.user(995) + " " + files.groupOf(994); got != "inmanta 994" {
		t.Errorf("%q", got)
	}
	if home, known := files.home("inmanta"); home != "/var/lib/inmanta" || !known {
		t.Errorf("home %q", home)
	}
	if _, known := files.home("nobody who exists"); known {
		t.Error("a home for nobody")
	}
}

func FuzzAccounts(f *testing.F) {
	f.Add(passwdText)
	f.Add(groupText)
	f.Add("a:b:0:::::\n\n:::\x00")
	f.Fuzz(func(t *testing.T, text string) {
		names, homes := parseUsers(text)
		groups := parseGroups(text)
		for _, m := range []map[uint32]string{names, groups} {
			for id, name := range m {
				if name == "" || len(name) > maxAccountName || !strings.Contains(text, name) {
					t.Fatalf("%d is %q", id, name)
				}
			}
		}
		if len(names) > strings.Count(text, ":") || len(homes) > strings.Count(text, ":") {
			t.Fatalf("%d names and %d homes", len(names), len(homes))
		}
	})
}
