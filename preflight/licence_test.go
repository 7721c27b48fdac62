package preflight

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const (
	jwe     = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..AAAA.AAAA.AAAA"
	licence = "an opaque licence\n"
)

func TestLicences(t *testing.T) {
	const (
		entitlementAt = "license/example.com.jwe"
		licenceAt     = "license/example.com.license"
	)
	good := LicenceFile{Size: 9, Form: Encrypted, Digest: "e"}
	fileOf := func(form Form, digest string) LicenceFile { return LicenceFile{Size: 9, Form: form, Digest: digest} }
	for name, c := range map[string]struct {
		entitlement, licence LicenceFile
		problems, warnings   []want
	}{
		"as they should be":      {entitlement: good, licence: fileOf(Other, "l")},
		"not readable from here": {entitlement: fileOf(Unknown, ""), licence: fileOf(Unknown, "")},
		"missing and empty": {
			entitlement: LicenceFile{Missing: true}, licence: LicenceFile{},
			problems: []want{
				{"licence-missing", entitlementAt, "no entitlement", "put the entitlement"},
				{"licence-empty", licenceAt, "the licence is empty", "put the licence"},
			},
		},
		"a directory, and one kept from the orchestrator": {
			entitlement: LicenceFile{Irregular: true}, licence: LicenceFile{Size: 9, Barred: true},
			problems: []want{
				{"licence-irregular", entitlementAt, "the entitlement is not a file", "remove what is there"},
				{"licence-unreadable", licenceAt, "uid 997", "chmod a+r "},
			},
		},
		"swapped": {
			entitlement: fileOf(Other, "l"), licence: good,
			problems: []want{{"licence-swapped", licenceAt, "swapped", "exchange it with"}},
		},
		"the same file twice": {
			entitlement: good, licence: good,
			problems: []want{{"licence-copied", licenceAt, "the same file", "the entitlement at"}},
		},
		"an entitlement of another form": {
			entitlement: fileOf(Other, "x"), licence: fileOf(Other, "l"),
			warnings: []want{{"licence-form", entitlementAt, "does not look like one", "compare"}},
		},
		"a licence like an entitlement": {
			entitlement: good, licence: fileOf(Encrypted, "l"),
			warnings: []want{{"licence-form", licenceAt, "looks like an entitlement", "compare"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t).with("docker-compose.iso.yml")
			d, s := l.open()
			f := fine(s)
			f.Absent = []string{l.dir + "/license"} // no other words for it than each file's own
			f.Licences = map[string]LicenceFile{l.dir + "/" + entitlementAt: c.entitlement, l.dir + "/" + licenceAt: c.licence}
			problems, warnings := Check(d, s, f)
			l.expect("problem", problems, c.problems...)
			l.expect("warning", warnings, c.warnings...)
		})
	}
}

func TestMountMissing(t *testing.T) {
	l := newLab(t).write(map[string]string{"own.yml": `services:
  server:
    volumes:
      - {type: bind, source: ./tool, target: /tool, bind: {create_host_path: false}}
      - ./made-by-the-engine:/made
`}).with("own.yml")
	d, s := l.open()
	g := gathering{project: s.Project, deployment: d, local: true}
	g.files()
	f := fine(s)
	f.Absent = g.facts.Absent
	problems, _ := Check(d, s, f)
	l.expect("problem", problems, want{"mount-missing", "tool", "it is not there", "inmanta-docker init"})
}

// Where the licence files come from is read out of the composed project.
func TestLicencesOfAProject(t *testing.T) {
	l := newLab(t).write(map[string]string{"own.yml": `services:
  server:
    environment:
      INMANTA_LICENSE_ENTITLEMENT_FILE: /run/secrets/entitlement
      INMANTA_LICENSE_LICENSE_KEY: /etc/inmanta/license/deep/er/key
    volumes:
      - ./deep:/etc/inmanta/license/deep
      - licences:/run/secrets
volumes:
  licences:
`}).with("docker-compose.iso.yml", "own.yml")
	_, s := l.open()
	all := licences(s.Project)
	if len(all) != 1 || all[0].Variable != licenceVariable || all[0].Path() != filepath.Join(l.dir, "deep/er/key") {
		t.Errorf("found %+v", all)
	}
}

func TestLook(t *testing.T) {
	l := newLab(t).write(map[string]string{
		"license/open": licence, "license/jwe": jwe, "license/shut": licence, "license/group": licence, "license/empty": "",
		"license/closed/file": licence, "outside": licence, "license/large": strings.Repeat("x", licenceLimit+1),
	})
	dir := filepath.Join(l.dir, "license")
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"open", "jwe", "empty", "closed/file", "large"} {
		do(os.Chmod(filepath.Join(dir, name), 0o644))
	}
	do(os.Chmod(filepath.Join(dir, "closed"), 0o700))
	do(os.Chmod(filepath.Join(dir, "group"), 0o640))
	do(os.Mkdir(filepath.Join(dir, "directory"), 0o755))
	do(os.Symlink("open", filepath.Join(dir, "link")))
	do(os.Symlink("../outside", filepath.Join(dir, "out")))
	do(os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	do(syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644))

	for name, want := range map[string]LicenceFile{
		"open":        {Size: int64(len(licence)), Form: Other},
		"jwe":         {Size: int64(len(jwe)), Form: Encrypted},
		"empty":       {Form: Other},
		"large":       {Size: licenceLimit + 1, Form: Other},
		"link":        {Size: int64(len(licence)), Form: Other},
		"shut":        {Size: int64(len(licence)), Form: Other, Barred: true},
		"group":       {Size: int64(len(licence)), Form: Other, Barred: true},
		"closed/file": {Size: int64(len(licence)), Form: Other, Barred: true},
		"directory":   {Irregular: true},
		"pipe":        {Irregular: true},
		"out":         {Irregular: true},
		"dangling":    {Irregular: true},
		"absent":      {Missing: true},
	} {
		got, ok := look(mounted{Source: dir, Name: name})
		got.Digest = ""
		if !ok || got != want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, ok, want)
		}
	}
	// A file that is itself the mount needs no right to its directory, and may be a link.
	for name, barred := range map[string]bool{"closed/file": false, "out": true} {
		got, ok := look(mounted{Source: filepath.Join(dir, name), Name: "."})
		if !ok || got.Barred != barred || got.Size == 0 {
			t.Errorf("%s as the mount: %+v, %v", name, got, ok)
		}
	}
	if got, ok := look(mounted{Source: filepath.Join(l.dir, "no-such"), Name: "x"}); !ok || !got.Missing {
		t.Errorf("without the folder: %+v, %v", got, ok)
	}
}

func TestPermits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		uid, gid int
		mode     os.FileMode
		want     bool
	}{
		{0, 0, 0o644, true},
		{0, 0, 0o640, false},
		{0, inmantaGID, 0o640, true},
		{inmantaUID, 0, 0o400, true},
		{inmantaUID, 0, 0o044, false}, // its owner is judged as owner alone
		{0, inmantaGID, 0o604, false},
	} {
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		owner := info.Sys().(*syscall.Stat_t)
		owner.Uid, owner.Gid = uint32(c.uid), uint32(c.gid)
		if got := permits(info, mayRead); got != c.want {
			t.Errorf("%d:%d %o: %v, want %v", c.uid, c.gid, c.mode, got, c.want)
		}
	}
}

func TestFormOf(t *testing.T) {
	for content, want := range map[string]Form{
		jwe: Encrypted, "\n" + jwe + "\r\n": Encrypted,
		`{"protected":"e30","ciphertext":"AAAA"}`:  Encrypted,
		"eyJhbGciOiJIUzI1NiJ9.e30.AAAA":            Other, // signed, not encrypted
		"a.b.c.d.e":                                Other,
		"e30..AAAA.AAAA.AAAA":                      Other, // no encryption named
		strings.Replace(jwe, ".AAAA", ".A+==", 1):  Other,
		`{"license":"x"}`:                          Other,
		"-----BEGIN PRIVATE KEY-----\nMIIE\n-----": Other,
		licence: Other, "": Other, "\x00\xff....": Other,
	} {
		if got := formOf([]byte(content)); got != want {
			t.Errorf("%q is %q, want %q", content, got, want)
		}
	}
}

// Whatever the bytes, one answer; what is said to be encrypted has a header
// that says so too, and white space around it changes nothing.
func FuzzFormOf(f *testing.F) {
	for _, seed := range []string{jwe, licence, "....", `{"ciphertext":"x"}`, "e30....", "\xef\xbb\xbf" + jwe} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		form := formOf(content)
		if form != Encrypted && form != Other {
			t.Fatalf("form %q", form)
		}
		if again := formOf(append([]byte(" \n"), append(content, '\n')...)); again != form {
			t.Fatalf("%q with white space around it", again)
		}
		if text := strings.TrimSpace(string(content)); form == Encrypted && !strings.HasPrefix(text, "{") {
			header, err := base64.RawURLEncoding.DecodeString(text[:strings.IndexByte(text, '.')])
			if err != nil || !strings.Contains(strings.ToLower(string(header)), "enc") && !strings.Contains(string(header), `\u`) {
				t.Fatalf("header %q, %v", header, err)
			}
		}
	})
}
