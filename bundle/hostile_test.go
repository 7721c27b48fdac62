package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/inmanta/inmanta-docker/problem"
)

// piece is one entry of a file as it lies there.
type piece struct{ head, content []byte }

// piecesOf takes a good file apart; what is after the last entry is dropped.
func piecesOf(t testing.TB, file []byte) []piece {
	t.Helper()
	var all []piece
	for {
		head := file[:block]
		if bytes.Equal(head, zeros[:block]) {
			return all
		}
		e, err := parse(head, someHeader().Created)
		if err != nil {
			t.Fatal(err)
		}
		whole := block + e.size + e.padding()
		all = append(all, piece{head, file[block : block+e.size]})
		file = file[whole:]
	}
}

// join is the file of pieces, with an end.
func join(pieces ...piece) []byte {
	var file []byte
	for _, p := range pieces {
		file = append(append(file, p.head...), p.content...)
		file = append(file, zeros[:entry{size: int64(len(p.content))}.padding()]...)
	}
	return append(file, zeros[:]...)
}

// of is a piece as it should be.
func of(t testing.TB, name string, content []byte) piece {
	t.Helper()
	head, err := render(entry{name, int64(len(content))}, someHeader().Created)
	if err != nil {
		t.Fatal(err)
	}
	return piece{head, content}
}

// strange is an entry as another program would write it.
func strange(t testing.TB, header tar.Header) piece {
	t.Helper()
	var text bytes.Buffer
	if header.Name == "" {
		header.Name = segment(State, 2)
	}
	if header.Mode == 0 {
		header.Mode = 0o600
	}
	if header.ModTime.IsZero() {
		header.ModTime = someHeader().Created
	}
	if err := tar.NewWriter(&text).WriteHeader(&header); err != nil {
		t.Fatal(err)
	}
	return piece{head: text.Bytes()}
}

// sealed are a manifest's two pieces.
func sealed(t testing.TB, text []byte) []piece {
	t.Helper()
	sum := sha256.Sum256(text)
	return []piece{of(t, manifestName, text), of(t, sumName, []byte(sumText(sum[:])))}
}

func TestFilesThatAreRefused(t *testing.T) {
	t.Parallel()
	file := pack(t, made{State, strings.Repeat("s", segmentSize) + "tate"}, made{Database, "database"})
	good := piecesOf(t, file)
	if !bytes.Equal(join(good...), file) {
		t.Fatal("taking it apart and putting it together makes another file")
	}
	header, first, second, database, manifest, sum := good[0], good[1], good[2], good[3], good[4], good[5]
	with := func(strange piece) []byte { return join(header, first, strange, second, database, manifest, sum) }
	rewritten := func(change func(Manifest) Manifest) []byte {
		m, err := parseManifest(manifest.content)
		if err != nil {
			t.Fatal(err)
		}
		m.Parts = slices.Clone(m.Parts)
		text, err := encode(change(m))
		if err != nil {
			t.Fatal(err)
		}
		return join(append([]piece{header, first, second, database}, sealed(t, text)...)...)
	}
	headed := func(old, replacement string) []byte {
		text := strings.Replace(string(header.content), old, replacement, 1)
		if text == string(header.content) {
			t.Fatalf("the header has no %s", old)
		}
		return join(of(t, headerName, []byte(text)), first, second, database, manifest, sum)
	}
	huge := slices.Clone(first.head)
	copy(huge[124:], "77777777777\x00")

	for name, c := range map[string]struct {
		file     []byte
		id, says string
	}{
		"nothing":                       {nil, Foreign, "no backup of inmanta-docker"},
		"a text":                        {[]byte("hello"), Foreign, "no backup of inmanta-docker"},
		"another tar":                   {join(of(t, "readme.txt", []byte("hello"))), Foreign, "no backup of inmanta-docker"},
		"the parts without a header":    {join(good[1:]...), Foreign, "no backup of inmanta-docker"},
		"the manifest first":            {join(manifest, sum, header, first, second, database), Foreign, "no backup of inmanta-docker"},
		"a dump of the database":        {append([]byte("PGDMP"), make([]byte, 2*block)...), Foreign, "no backup of inmanta-docker"},
		"an empty tar":                  {zeros[:], Foreign, "no backup of inmanta-docker"},
		"a path that leads up":          {with(of(t, "../etc/passwd", nil)), Damaged, `"../etc/passwd", which no backup has`},
		"a part that leads up":          {with(of(t, State+"/../000002", nil)), Damaged, "which no backup has"},
		"an absolute path":              {with(of(t, "/etc/passwd", nil)), Damaged, "which no backup has"},
		"a path with a dot":             {with(of(t, "./"+segment(State, 2), nil)), Damaged, "which no backup has"},
		"a path with two slashes":       {with(of(t, State+"//000002", nil)), Damaged, "which no backup has"},
		"a file of nobody":              {with(of(t, "readme.txt", nil)), Damaged, "which no backup has"},
		"a part of nobody":              {with(of(t, "more/000001", nil)), Damaged, "which no backup has"},
		"a link":                        {with(strange(t, tar.Header{Typeflag: tar.TypeSymlink, Linkname: "/etc"})), Damaged, "that is a link"},
		"a hard link":                   {with(strange(t, tar.Header{Typeflag: tar.TypeLink, Linkname: "/etc/passwd"})), Damaged, "that is a link"},
		"a device":                      {with(strange(t, tar.Header{Typeflag: tar.TypeBlock})), Damaged, "that is a device"},
		"another device":                {with(strange(t, tar.Header{Typeflag: tar.TypeChar})), Damaged, "that is a device"},
		"a pipe":                        {with(strange(t, tar.Header{Typeflag: tar.TypeFifo})), Damaged, "that is a pipe"},
		"a folder":                      {with(strange(t, tar.Header{Typeflag: tar.TypeDir, Name: State + "/"})), Damaged, "that is a folder"},
		"a file of old":                 {with(of(t, segment(State, 2), nil).as(0)), Damaged, "of a kind that no backup has"},
		"one with holes, as GNU":        {with(of(t, segment(State, 2), nil).as(tar.TypeGNUSparse)), Damaged, "of a kind that no backup has"},
		"a file in one piece":           {with(of(t, segment(State, 2), nil).as(tar.TypeCont)), Damaged, "of a kind that no backup has"},
		"a long name, as GNU":           {with(strange(t, tar.Header{Format: tar.FormatGNU, Name: State + "/" + strings.Repeat("0", 200)})), Damaged, "of a kind that no backup has"},
		"a long name, as PAX":           {with(strange(t, tar.Header{Format: tar.FormatPAX, Name: State + "/" + strings.Repeat("0", 300)})), Damaged, "of a kind that no backup has"},
		"a long name, as POSIX":         {with(strange(t, tar.Header{Format: tar.FormatUSTAR, Name: strings.Repeat("x", 60) + "/" + strings.Repeat("0", 90)})), Damaged, "which no backup has"},
		"words for all, as PAX":         {with(of(t, segment(State, 2), nil).as(tar.TypeXGlobalHeader)), Damaged, "of a kind that no backup has"},
		"words for one, as PAX":         {with(strange(t, tar.Header{Format: tar.FormatPAX, PAXRecords: map[string]string{"SCHILY.xattr.user.x": "1"}})), Damaged, "of a kind that no backup has"},
		"a file as GNU writes it":       {with(strange(t, tar.Header{Format: tar.FormatGNU})), Damaged, "in another way"},
		"one that all may read":         {with(strange(t, tar.Header{Format: tar.FormatUSTAR, Mode: 0o644})), Damaged, "in another way"},
		"one that is setuid":            {with(strange(t, tar.Header{Format: tar.FormatUSTAR, Mode: 0o4600})), Damaged, "in another way"},
		"one of somebody":               {with(strange(t, tar.Header{Format: tar.FormatUSTAR, Uid: 1})), Damaged, "in another way"},
		"one of another time":           {with(strange(t, tar.Header{Format: tar.FormatUSTAR, ModTime: someHeader().Created.AddDate(0, 0, 1)})), Damaged, "in another way"},
		"a segment without end":         {join(header, piece{huge, nil}), Damaged, "larger than"},
		"a segment that is too large":   {with(strange(t, tar.Header{Format: tar.FormatUSTAR, Size: segmentSize + 1})), Damaged, "larger than"},
		"a size below nothing":          {with(first.sized("-0000000001\x00")), Damaged, "larger than"},
		"a size that is no number":      {with(first.sized("0000000000x\x00")), Damaged, "larger than"},
		"a size in binary":              {with(first.sized("\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01")), Damaged, "larger than"},
		"a manifest that is too large":  {join(header, strange(t, tar.Header{Format: tar.FormatUSTAR, Name: manifestName, Size: mostJSON + 1})), Damaged, "larger than"},
		"a header that is too large":    {join(strange(t, tar.Header{Format: tar.FormatUSTAR, Name: headerName, Size: mostJSON + 1})), Damaged, "larger than"},
		"a segment twice":               {join(header, first, first, second, database, manifest, sum), Damaged, "state.tar.zst/000001 follows state.tar.zst/000001"},
		"a gap":                         {join(header, first, of(t, segment(State, 3), second.content), database, manifest, sum), Damaged, "000003 follows"},
		"no first segment":              {join(header, second, database, manifest, sum), Damaged, "comes without those before it"},
		"a segment of number 0":         {join(header, of(t, State+"/000000", nil), manifest, sum), Damaged, "which no backup has"},
		"a number of another form":      {join(header, of(t, State+"/1", nil), manifest, sum), Damaged, "which no backup has"},
		"a number that is negative":     {join(header, of(t, State+"/-00001", nil), manifest, sum), Damaged, "which no backup has"},
		"a part twice":                  {join(header, database, first, second, database, manifest, sum), Damaged, "database.dump is there twice"},
		"a part in two pieces":          {join(header, first, database, second, manifest, sum), Damaged, "comes without those before it"},
		"a short segment":               {join(header, of(t, segment(State, 1), []byte("s")), second, database, manifest, sum), Damaged, "is shorter than"},
		"an empty segment":              {join(header, first, of(t, segment(State, 2), nil), database, manifest, sum), Damaged, "is empty"},
		"segments the other way":        {join(header, second, first, database, manifest, sum), Damaged, "comes without those before it"},
		"parts in another order":        {join(header, database, first, second, manifest, sum), Damaged, "does not list database.dump there"},
		"a part that is not listed":     {rewritten(func(m Manifest) Manifest { m.Parts = m.Parts[:1]; return m }), Damaged, "does not list database.dump there"},
		"a part that is missing":        {join(header, first, second, manifest, sum), Damaged, "its database.dump is missing"},
		"a part of another size":        {join(header, first, of(t, segment(State, 2), []byte("tat")), database, manifest, sum), Damaged, "is not what was written"},
		"a part of another content":     {join(header, first, of(t, segment(State, 2), []byte("tatE")), database, manifest, sum), Damaged, "is not what was written"},
		"a part of another backup":      {join(of(t, headerName, []byte(strings.Replace(string(header.content), `"01"`, `"02"`, 1))), first, second, database, manifest, sum), Damaged, "its header is not the one"},
		"two headers":                   {join(header, header, first, second, database, manifest, sum), Damaged, "is not where it belongs"},
		"two manifests":                 {join(header, first, second, database, manifest, manifest, sum), Damaged, "manifest.json follows its manifest"},
		"two manifests, sealed":         {join(header, first, second, database, manifest, sum, manifest, sum), Damaged, "something follows its manifest"},
		"a manifest in the middle":      {join(header, first, second, manifest, sum, database), Damaged, "is missing"},
		"no manifest":                   {join(header, first, second, database), Unfinished, "cut short, or never finished"},
		"no checksum":                   {join(header, first, second, database, manifest), Unfinished, "cut short, or never finished"},
		"only the checksum":             {join(header, first, second, database, sum), Damaged, "is not where it belongs"},
		"another's checksum":            {join(header, first, second, database, manifest, of(t, sumName, []byte(sumText(make([]byte, 32))))), Damaged, "not the one that was written"},
		"a checksum of another form":    {join(header, first, second, database, manifest, of(t, sumName, []byte(strings.ToUpper(string(sum.content))))), Damaged, "not the one that was written"},
		"a short checksum":              {join(header, first, second, database, manifest, of(t, sumName, nil)), Damaged, "not the one that was written"},
		"something after the checksum":  {join(header, first, second, database, manifest, sum, database), Damaged, "something follows its manifest"},
		"something after the end":       {append(slices.Clone(file), 0), Damaged, "something follows its end"},
		"as many zeros as GNU tar's":    {append(slices.Clone(file), make([]byte, 9*block)...), Damaged, "something follows its end"},
		"another tar after the end":     {append(slices.Clone(file), file...), Damaged, "something follows its end"},
		"one zero block":                {file[:len(file)-block], Unfinished, "cut short, or never finished"},
		"a later format":                {headed(`"format": 1`, `"format": 2`), Newer, "newer inmanta-docker"},
		"a later format, with more":     {headed(`"format": 1`, `"format": 7, "more": {}`), Newer, "newer inmanta-docker"},
		"no format":                     {headed(`"format": 1,`, ``), Damaged, "its format is 0"},
		"a format below nothing":        {headed(`"format": 1`, `"format": -1`), Damaged, "its format is -1"},
		"a format that is no number":    {headed(`"format": 1`, `"format": "1"`), Damaged, "its header cannot be read"},
		"a field of nobody":             {headed(`"format": 1`, `"format": 1, "more": {}`), Damaged, "unknown field"},
		"a header that is a list":       {join(of(t, headerName, []byte("[]"))), Damaged, "its header cannot be read"},
		"a header that is nothing":      {join(of(t, headerName, nil)), Damaged, "its header cannot be read"},
		"a header and something":        {join(of(t, headerName, append(slices.Clone(header.content), "{}"...))), Damaged, "its header cannot be read"},
		"a header in depth":             {join(of(t, headerName, bytes.Repeat([]byte("["), 1<<20))), Damaged, "its header cannot be read"},
		"no id":                         {headed(`"id": "01"`, `"id": ""`), Damaged, "it has no id"},
		"a header of another time":      {headed(`2026-11-20`, `2026-11-21`), Damaged, "says another time"},
		"a time that never was":         {headed(`2026-11-20`, `1926-11-20`), Damaged, "no time at which"},
		"a manifest that is a list":     {join(append([]piece{header, first, second, database}, sealed(t, []byte("[]"))...)...), Damaged, "its manifest cannot be read"},
		"a manifest and something":      {join(append([]piece{header, first, second, database}, sealed(t, append(slices.Clone(manifest.content), '1'))...)...), Damaged, "its manifest cannot be read"},
		"a manifest with a field":       {join(append([]piece{header, first, second, database}, sealed(t, []byte(`{"more":1}`))...)...), Damaged, "unknown field"},
		"a manifest of another header":  {rewritten(func(m Manifest) Manifest { m.Header = "00"; return m }), Damaged, "its header is not the one"},
		"a manifest of other segments":  {rewritten(func(m Manifest) Manifest { m.Parts[0].Segments++; return m }), Damaged, "is not what was written"},
		"a manifest of more parts":      {rewritten(func(m Manifest) Manifest { m.Parts = append(m.Parts, m.Parts[0]); return m }), Damaged, "is missing"},
		"rows below nothing":            {rewritten(func(m Manifest) Manifest { m.Content.Tables = []Table{{"public", "a", -1, ""}}; return m }), Damaged, "there can be no table"},
		"files below nothing":           {rewritten(func(m Manifest) Manifest { m.Content.State.Files = -1; return m }), Damaged, "cannot be"},
		"a checksum that is no text":    {rewritten(func(m Manifest) Manifest { m.Parts[0].SHA256 = ""; return m }), Damaged, "is not what was written"},
		"a header block that was wiped": {append(slices.Clone(zeros[:block]), file[block:]...), Foreign, "no backup"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, err := Check(bytes.NewReader(c.file), "FILE", nil)
			p, is := errors.AsType[problem.Problem](err)
			if !is || p.ID != c.id || !strings.Contains(p.What, c.says) || p.Where != "FILE" || p.Fix == "" {
				t.Errorf("it says %v, of kind %s", err, p.ID)
			}
		})
	}
}

// as is the piece with another type, its checksum right.
func (p piece) as(kind byte) piece {
	head := slices.Clone(p.head)
	head[156] = kind
	return piece{summed(head), p.content}
}

// sized is the piece with another size, its checksum right.
func (p piece) sized(size string) piece {
	head := slices.Clone(p.head)
	copy(head[124:136], size)
	return piece{summed(head), p.content}
}

// summed sets a header block's own checksum right.
func summed(head []byte) []byte {
	copy(head[148:156], "        ")
	sum := 0
	for _, b := range head {
		sum += int(b)
	}
	digits := []byte("000000\x00 ")
	for i := 5; i >= 0; i-- {
		digits[i] = byte('0' + sum&7)
		sum >>= 3
	}
	copy(head[148:156], digits)
	return head
}

// refused says whether a file is refused, and in words.
func refused(file []byte) bool {
	_, _, err := Check(bytes.NewReader(file), "FILE", nil)
	return slices.Contains([]string{Foreign, Newer, Damaged, Unfinished, Encrypted}, idOf(err))
}

// No bit of a backup can be changed, wherever it is.
func TestEveryBitCounts(t *testing.T) {
	t.Parallel()
	file := pack(t, made{State, "state"}, made{Database, ""})
	for i := range file {
		for bit := range 8 {
			file[i] ^= 1 << bit
			if !refused(file) {
				t.Errorf("bit %d of byte %d (of %d) can be changed", bit, i, len(file))
			}
			file[i] ^= 1 << bit
		}
	}
	if refused(file) {
		t.Error("it is refused as it was, too")
	}
}

// No end of a backup can be missing, nothing can be taken out, and nothing put in.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	file := pack(t, made{State, "state"}, made{Database, ""})
	for i := range file {
		if _, _, err := Check(bytes.NewReader(file[:i]), "FILE", nil); idOf(err) != Unfinished && (idOf(err) != Foreign || i >= len(headerName)) {
			t.Errorf("cut to %d of %d bytes it says %v", i, len(file), err)
		}
		if !refused(slices.Delete(slices.Clone(file), i, i+1)) {
			t.Errorf("byte %d of %d can be taken out", i, len(file))
		}
		if !refused(slices.Insert(slices.Clone(file), i, 0)) {
			t.Errorf("a byte can be put in at %d of %d", i, len(file))
		}
	}
	for i := 0; i < len(file); i += block {
		if !refused(slices.Delete(slices.Clone(file), i, i+block)) {
			t.Errorf("the block at %d can be taken out", i)
		}
		if !refused(slices.Insert(slices.Clone(file), i, file[i:i+block]...)) {
			t.Errorf("the block at %d can be there twice", i)
		}
	}
}

// However little comes at once, it is the same.
func TestAReaderMayStopAnywhere(t *testing.T) {
	t.Parallel()
	file := pack(t, made{State, strings.Repeat("s", segmentSize+9)}, made{Database, "database"})
	for name, read := range map[string]func(io.Reader) error{
		"not at all": func(io.Reader) error { return nil },
		"a little":   func(r io.Reader) error { _, err := r.Read(make([]byte, 7)); return err },
		"most":       func(r io.Reader) error { _, err := io.CopyN(io.Discard, r, 6); return err },
		"all": func(r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			if n, again := r.Read(make([]byte, 1)); n != 0 || !errors.Is(again, io.EOF) {
				return errors.New("after the end there is more")
			}
			return err
		},
	} {
		r, err := NewReader(bytes.NewReader(file), "FILE")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Manifest(); err == nil {
			t.Errorf("%s: the manifest is known before it is read", name)
		}
		var names []string
		for {
			part, from, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := read(from); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			names = append(names, part)
		}
		if _, err := r.Manifest(); err != nil || !slices.Equal(names, []string{State, Database}) {
			t.Errorf("%s: %v, %v", name, names, err)
		}
	}
}
