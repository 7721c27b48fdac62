package rsync

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/delta"
)

// option is what one option does: set something, take a value, or be refused
// for a reason.
type option struct {
	set     func(*options)
	value   func(*options, string) error
	refused string
	local   bool // only a person gives it, for a copy on this machine
}

func on(set func(*options)) option { return option{set: set} }

func with(value func(*options, string) error) option { return option{value: value} }

func refused(reason string) option { return option{refused: reason} }

func local(o option) option {
	o.local = true
	return o
}

// accepted is an option that changes nothing here: what it is about is the
// client's, or it only is a hint.
var accepted = on(func(*options) {})

// acceptedValue is an option with a value that changes nothing here.
var acceptedValue = with(func(*options, string) error { return nil })

func flag(field func(*options) *bool) option {
	return on(func(o *options) { *field(o) = true })
}

func off(field func(*options) *bool) option {
	return on(func(o *options) { *field(o) = false })
}

func deleting(time when) option { return on(func(o *options) { o.delete = time }) }

// Why options are refused.
const (
	notMetadata  = "only modes, times, links, owners and groups are transferred"
	notElsewhere = "files are only looked for, and made, in the destination itself"
	notMapped    = "owners and groups can only be what they are called over there"
	notFromHere  = "copies to and from another machine are started on that machine"
	notShown     = "this rsync shows names (-v) and nothing more"
)

var shortOptions = map[byte]option{
	'v': on(func(o *options) { o.verbose++ }),
	'q': accepted,
	'a': local(on(archive)),
	'b': longOptions["backup"],
	'c': longOptions["checksum"],
	'd': longOptions["dirs"],
	'e': with(func(o *options, value string) error {
		if !o.server {
			return errors.New(notFromHere)
		}
		_, o.client, _ = strings.Cut(value, ".")
		return nil
	}),
	'f': local(longOptions["filter"]),
	'g': longOptions["group"],
	'h': local(accepted),
	'i': local(refused(notShown)),
	'k': flag(func(o *options) *bool { return &o.copyDirLinks }),
	'l': longOptions["links"],
	'm': longOptions["prune-empty-dirs"],
	'n': longOptions["dry-run"],
	'o': longOptions["owner"],
	'p': longOptions["perms"],
	'r': longOptions["recursive"],
	's': flag(func(o *options) *bool { return &o.secluded }),
	't': longOptions["times"],
	'u': longOptions["update"],
	'x': on(func(o *options) { o.oneFileSystem++ }),
	'y': accepted, // a file that looks alike may be used: none is
	'z': flag(func(o *options) *bool { return &o.compress }),
	'@': longOptions["modify-window"],
	'A': refused(notMetadata),
	'B': longOptions["block-size"],
	'C': flag(func(o *options) *bool { return &o.cvs }),
	'D': on(func(o *options) { o.devices, o.specials = true, true }),
	'E': flag(func(o *options) *bool { return &o.executability }),
	'F': local(on(func(o *options) { o.rules = append(o.rules, ": /.rsync-filter") })),
	'H': flag(func(o *options) *bool { return &o.hardLinks }),
	'I': flag(func(o *options) *bool { return &o.ignoreTimes }),
	'J': flag(func(o *options) *bool { return &o.noLinkTimes }),
	'K': refused("directories in the destination are never links"),
	'L': flag(func(o *options) *bool { return &o.copyLinks }),
	'N': refused(notMetadata),
	'O': flag(func(o *options) *bool { return &o.noDirTimes }),
	'P': local(refused(notShown)),
	'R': flag(func(o *options) *bool { return &o.relative }),
	'S': flag(func(o *options) *bool { return &o.sparse }),
	'T': refused(notElsewhere),
	'U': refused(notMetadata),
	'W': on(func(o *options) { o.wholeFile = 1 }),
	'X': refused(notMetadata),
}

var longOptions = map[string]option{
	// How the other side is talked to.
	"protocol": refused("it takes the newest one that both sides know"),
	"timeout":  with(func(o *options, v string) (err error) { o.timeout, err = parseNumber(v, 0); return err }),
	"bwlimit":  with(func(o *options, v string) (err error) { o.bytesPerSecond, err = parseSize(v, 'k'); return err }),
	"checksum-seed": with(func(o *options, v string) (err error) {
		n, err := parseNumber(v, -1<<31)
		o.seed = int32(n)
		return err
	}),
	"checksum-choice": with(chooseChecksum),
	"compress":        local(flag(func(o *options) *bool { return &o.compress })),
	"compress-level":  with(func(o *options, v string) (err error) { o.compressLevel, err = parseNumber(v, -1<<31); return err }),
	"compress-choice": with(chooseCompression),
	"new-compress":    on(func(o *options) { o.compress, o.packing = true, delta.ZlibX }),
	"old-compress":    on(func(o *options) { o.compress, o.packing = true, delta.Zlib }),
	"skip-compress":   acceptedValue,
	"max-alloc":       acceptedValue,
	"iconv":           refused("names are transferred byte by byte"),
	"msgs2stderr":     accepted,
	"no-msgs2stderr":  accepted,
	"secluded-args":   flag(func(o *options) *bool { return &o.secluded }),

	// What is told.
	"verbose":          local(on(func(o *options) { o.verbose++ })),
	"quiet":            local(accepted),
	"human-readable":   local(accepted),
	"info":             with(tellOf),
	"debug":            acceptedValue,
	"log-format":       with(func(o *options, v string) error { return o.setFormat(v) }),
	"list-only":        flag(func(o *options) *bool { return &o.listOnly }),
	"stats":            flag(func(o *options) *bool { return &o.statistics }),
	"progress":         local(refused(notShown)),
	"itemize-changes":  local(refused(notShown)),
	"out-format":       local(refused(notShown)),
	"log-file":         refused(notShown),
	"rsh":              local(refused(notFromHere)),
	"rsync-path":       local(refused(notFromHere)),
	"write-batch":      refused("batches are the client's"),
	"only-write-batch": refused("batches are the client's"),
	"read-batch":       refused("batches are the client's"),
	"daemon":           refused("this rsync is started by a client, for one transfer"),

	// What is transferred.
	"archive":             local(on(archive)),
	"recursive":           flag(func(o *options) *bool { return &o.recursive }),
	"no-recursive":        off(func(o *options) *bool { return &o.recursive }),
	"no-r":                off(func(o *options) *bool { return &o.recursive }),
	"dirs":                flag(func(o *options) *bool { return &o.directories }),
	"relative":            flag(func(o *options) *bool { return &o.relative }),
	"no-relative":         off(func(o *options) *bool { return &o.relative }),
	"no-implied-dirs":     flag(func(o *options) *bool { return &o.noImplied }),
	"one-file-system":     on(func(o *options) { o.oneFileSystem++ }),
	"links":               flag(func(o *options) *bool { return &o.links }),
	"copy-links":          flag(func(o *options) *bool { return &o.copyLinks }),
	"copy-dirlinks":       flag(func(o *options) *bool { return &o.copyDirLinks }),
	"copy-unsafe-links":   flag(func(o *options) *bool { return &o.copyUnsafe }),
	"safe-links":          flag(func(o *options) *bool { return &o.safeLinks }),
	"munge-links":         refused("links are transferred as they are"),
	"keep-dirlinks":       refused("directories in the destination are never links"),
	"hard-links":          flag(func(o *options) *bool { return &o.hardLinks }),
	"perms":               flag(func(o *options) *bool { return &o.perms }),
	"no-perms":            off(func(o *options) *bool { return &o.perms }),
	"executability":       flag(func(o *options) *bool { return &o.executability }),
	"times":               flag(func(o *options) *bool { return &o.times }),
	"no-times":            off(func(o *options) *bool { return &o.times }),
	"owner":               flag(func(o *options) *bool { return &o.owner }),
	"no-owner":            off(func(o *options) *bool { return &o.owner }),
	"group":               flag(func(o *options) *bool { return &o.group }),
	"no-group":            off(func(o *options) *bool { return &o.group }),
	"numeric-ids":         flag(func(o *options) *bool { return &o.numericIDs }),
	"devices":             flag(func(o *options) *bool { return &o.devices }),
	"specials":            flag(func(o *options) *bool { return &o.specials }),
	"no-specials":         off(func(o *options) *bool { return &o.specials }),
	"omit-dir-times":      flag(func(o *options) *bool { return &o.noDirTimes }),
	"omit-link-times":     flag(func(o *options) *bool { return &o.noLinkTimes }),
	"acls":                refused(notMetadata),
	"xattrs":              refused(notMetadata),
	"atimes":              refused(notMetadata),
	"open-noatime":        refused(notMetadata),
	"crtimes":             refused(notMetadata),
	"copy-devices":        refused(notMetadata),
	"write-devices":       refused(notMetadata),
	"super":               refused("this rsync is an ordinary user's"),
	"fake-super":          refused(notMetadata),
	"usermap":             refused(notMapped),
	"groupmap":            refused(notMapped),
	"chown":               refused(notMapped),
	"chmod":               refused("modes can only be what they are over there"),
	"files-from":          with(func(o *options, v string) error { o.filesFrom = v; return nil }),
	"from0":               flag(func(o *options) *bool { return &o.from0 }),
	"ignore-missing-args": flag(func(o *options) *bool { return &o.ignoreMissing }),
	"delete-missing-args": refused("an argument that is not there deletes nothing"),
	"remove-source-files": flag(func(o *options) *bool { return &o.removeSource }),
	"remove-sent-files":   refused("use --remove-source-files"),
	"use-qsort":           refused("files are always in the one order"),

	// Which files are changed.
	"dry-run":             flag(func(o *options) *bool { return &o.dryRun }),
	"checksum":            flag(func(o *options) *bool { return &o.checksum }),
	"ignore-times":        flag(func(o *options) *bool { return &o.ignoreTimes }),
	"size-only":           flag(func(o *options) *bool { return &o.sizeOnly }),
	"modify-window":       with(func(o *options, v string) (err error) { o.modifyWindow, err = parseNumber(v, -1); return err }),
	"update":              flag(func(o *options) *bool { return &o.update }),
	"existing":            flag(func(o *options) *bool { return &o.existing }),
	"ignore-non-existing": flag(func(o *options) *bool { return &o.existing }),
	"ignore-existing":     flag(func(o *options) *bool { return &o.ignoreExisting }),
	"max-size":            with(func(o *options, v string) (err error) { o.maxSize, err = parseSize(v, 'b'); return err }),
	"min-size":            with(func(o *options, v string) (err error) { o.minSize, err = parseSize(v, 'b'); return err }),
	"filter":              local(with(func(o *options, v string) error { o.rules = append(o.rules, v); return nil })),
	"exclude":             local(with(func(o *options, v string) error { return o.addPatterns("- ", v) })),
	"include":             local(with(func(o *options, v string) error { return o.addPatterns("+ ", v) })),
	"exclude-from":        local(with(func(o *options, v string) error { return o.readPatterns("- ", v) })),
	"include-from":        local(with(func(o *options, v string) error { return o.readPatterns("+ ", v) })),
	"cvs-exclude":         flag(func(o *options) *bool { return &o.cvs }),
	"prune-empty-dirs":    flag(func(o *options) *bool { return &o.pruneEmpty }),

	// What is deleted.
	"delete":          on(func(o *options) { o.delete = max(o.delete, whenever) }),
	"del":             deleting(during),
	"delete-before":   deleting(before),
	"delete-during":   deleting(during),
	"delete-delay":    deleting(delayed),
	"delete-after":    deleting(after),
	"delete-excluded": on(func(o *options) { o.deleteExcluded = true; o.delete = max(o.delete, whenever) }),
	"force":           flag(func(o *options) *bool { return &o.force }),
	"ignore-errors":   flag(func(o *options) *bool { return &o.ignoreErrors }),
	"max-delete":      with(func(o *options, v string) error { return o.setMaxDelete(v) }),

	// How files are written.
	"whole-file":    on(func(o *options) { o.wholeFile = 1 }),
	"no-whole-file": on(func(o *options) { o.wholeFile = 0 }),
	"no-W":          on(func(o *options) { o.wholeFile = 0 }),
	"inplace":       flag(func(o *options) *bool { return &o.inplace }),
	"append":        on(func(o *options) { o.appending = min(o.appending+1, 2) }),
	"append-verify": on(func(o *options) { o.appending = 2 }),
	"sparse":        flag(func(o *options) *bool { return &o.sparse }),
	"preallocate":   refused("files grow as they arrive"),
	"partial":       flag(func(o *options) *bool { return &o.partial }),
	"partial-dir":   refused(notElsewhere + "; --partial keeps what has arrived"),
	"delay-updates": refused("each file is put in its place when it is complete"),
	"temp-dir":      refused(notElsewhere),
	"compare-dest":  refused(notElsewhere),
	"copy-dest":     refused(notElsewhere),
	"link-dest":     refused(notElsewhere),
	"fuzzy":         accepted,
	"backup":        flag(func(o *options) *bool { return &o.backup }),
	"backup-dir":    with(func(o *options, v string) error { o.backupDir, o.backup = v, true; return nil }),
	"suffix":        with(func(o *options, v string) error { o.suffix = v; return nil }),
	"mkpath":        flag(func(o *options) *bool { return &o.mkpath }),
	"fsync":         flag(func(o *options) *bool { return &o.sync }),
	"block-size":    with(func(o *options, v string) error { return o.setBlockSize(v) }),
}

// archive is -a: all that there usually is of a file.
func archive(o *options) {
	o.recursive, o.links, o.perms, o.times = true, true, true, true
	o.owner, o.group, o.devices, o.specials = true, true, true, true
}

// addPatterns adds patterns as rules of this sign, unless they bring their own.
func (o *options) addPatterns(sign string, patterns ...string) error {
	for _, pattern := range patterns {
		if !strings.HasPrefix(pattern, "- ") && !strings.HasPrefix(pattern, "+ ") && pattern != "!" {
			pattern = sign + pattern
		}
		o.rules = append(o.rules, pattern)
	}
	return nil
}

// readPatterns adds those of a file, one a line.
func (o *options) readPatterns(sign, name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return o.addPatterns(sign, splitNames(data, false)...)
}

// setFormat takes what the client shows of each file; only how much of it the
// client has to be told matters here.
func (o *options) setFormat(format string) error {
	switch {
	case strings.Contains(format, "%i%I"):
		o.itemize = 2
	case strings.Contains(format, "%i"):
		o.itemize = 1
	}
	return nil
}

// tellOf takes what the client wants to be told of: "name2,skip". Other words
// are about things that are not told of here.
func tellOf(o *options, words string) error {
	for word := range strings.SplitSeq(strings.ToLower(words), ",") {
		level := 1
		if n := len(word); n > 0 && word[n-1] >= '0' && word[n-1] <= '9' {
			level, word = int(word[n-1]-'0'), word[:n-1]
		}
		switch word {
		case "name":
			o.names = level
		case "skip":
			o.skips = level
		}
	}
	return nil
}

func (o *options) setMaxDelete(value string) error {
	number, err := parseNumber(value, -1)
	// A client that wants no deletion at all writes -1, as 0 once meant no limit.
	o.maxDelete = max(number, 0)
	return err
}

func (o *options) setBlockSize(value string) error {
	size, err := parseSize(value, 'b')
	if err == nil && size > int64(delta.Largest(30)) {
		return fmt.Errorf("a block has at most %d bytes", delta.Largest(30))
	}
	o.blockSize = int(size)
	return err
}

// chooseChecksum takes the checksum for transfers, and after a comma the one
// for --checksum.
func chooseChecksum(o *options, value string) error {
	transfer, file, two := strings.Cut(value, ",")
	if !two {
		file = transfer
	}
	o.transferSum, o.fileSum = delta.Kind(transfer), delta.Kind(file)
	for _, kind := range []delta.Kind{o.transferSum, o.fileSum} {
		if kind != delta.MD5 && kind != delta.XXH64 {
			return fatal(exitUnsupported, "option --checksum-choice: there is no checksum %q here, only md5 and xxh64", kind)
		}
	}
	return nil
}

func chooseCompression(o *options, value string) error {
	switch kind := delta.Compression(value); kind {
	case delta.Zlib, delta.ZlibX:
		o.compress, o.packing = true, kind
	case delta.None:
		o.compress = false
	default:
		return fatal(exitUnsupported, "option --compress-choice: there is no compression %q here, only zlibx, zlib and none", value)
	}
	return nil
}
