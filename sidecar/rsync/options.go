package rsync

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/inmanta/inmanta-docker/sidecar/rsync/delta"
)

// Exit codes, as rsync(1) has them; clients tell their user what they mean.
const (
	exitOK          = 0
	exitSyntax      = 1  // the command line is wrong
	exitProtocol    = 2  // the other side cannot be talked to
	exitSelection   = 3  // what to transfer, or where to, cannot be used
	exitUnsupported = 4  // the command line asks for what there is not
	exitFile        = 11 // a file could not be written
	exitStream      = 12 // the other side broke off, or talks nonsense
	exitSignal      = 20 // told to stop
	exitPartial     = 23 // some files could not be transferred
	exitVanished    = 24 // some files went away before they were
	exitDeleteLimit = 25 // --max-delete kept some files
	exitTimeout     = 30 // the other side was silent for too long
)

// exit is an error that ends everything, with the code to end with.
type exit struct {
	code int
	text string
}

func (e exit) Error() string { return e.text }

func fatal(code int, format string, values ...any) error {
	return exit{code, fmt.Sprintf(format, values...)}
}

// when says at what time files that the sender does not have are deleted.
type when int

const (
	never    when = iota
	whenever      // the protocol's choice: 29 before, later ones during
	before        // before anything is transferred
	during        // when their directory is looked at
	delayed       // chosen then, deleted after all transfers
	after         // after all transfers
)

// options are what a command line asks for.
type options struct {
	server bool   // called by a client on another machine
	sender bool   // that client receives
	client string // what the client can do, one letter each (-e)

	verbose    int
	names      int // --info=name: 1 what changes, 2 what does not too
	skips      int // --info=skip
	listOnly   bool
	statistics bool
	itemize    int // 1: the client shows what changes, 2: everything

	recursive     bool
	directories   bool // without what is in them
	relative      bool // whole paths, as given
	noImplied     bool // directories of whole paths as they are over there
	oneFileSystem int
	links         bool
	copyLinks     bool
	copyDirLinks  bool
	copyUnsafe    bool
	safeLinks     bool
	hardLinks     bool
	perms         bool
	executability bool
	times         bool
	owner, group  bool
	numericIDs    bool
	devices       bool
	specials      bool
	noDirTimes    bool
	noLinkTimes   bool

	dryRun         bool
	checksum       bool
	ignoreTimes    bool
	sizeOnly       bool
	modifyWindow   int // seconds; -1: to the nanosecond
	update         bool
	existing       bool
	ignoreExisting bool
	minSize        int64 // -1: none
	maxSize        int64 // -1: none

	delete         when
	deleteExcluded bool
	force          bool
	ignoreErrors   bool
	maxDelete      int // -1: no limit
	pruneEmpty     bool
	removeSource   bool
	ignoreMissing  bool
	cvs            bool

	wholeFile int // 1 on, 0 off, -1 as usual
	inplace   bool
	appending int // 1: trust what is there, 2: check it
	sparse    bool
	partial   bool
	backup    bool
	suffix    string
	backupDir string
	mkpath    bool
	sync      bool
	blockSize int

	compress       bool
	packing        delta.Compression // chosen by the user; empty: negotiated
	compressLevel  int
	transferSum    delta.Kind // chosen by the user; empty: negotiated
	fileSum        delta.Kind
	seed           int32
	timeout        int   // seconds; 0: none
	bytesPerSecond int64 // 0: no limit

	filesFrom string // "-": from the client
	from0     bool
	secluded  bool // the rest of the command line comes on stdin

	rules []string // a local copy's filter rules
	paths []string
}

// newOptions is what rsync does when nothing is asked for.
func newOptions() *options {
	return &options{minSize: -1, maxSize: -1, maxDelete: -1, wholeFile: -1}
}

// parse reads a command line. Whatever it does not know, or knows not to be
// able to do, is an error that names it: nothing has been touched by then.
func (o *options) parse(args []string) error {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		var err error
		switch {
		case arg == "--":
			o.paths = append(o.paths, args...)
			return nil
		case strings.HasPrefix(arg, "--"):
			args, err = o.parseLong(arg[2:], args)
		case strings.HasPrefix(arg, "-") && len(arg) > 1:
			args, err = o.parseShort(arg[1:], args)
		case o.server:
			// A client puts all options first, then ".", then paths, which may
			// begin with anything.
			o.paths = append([]string{arg}, args...)
			return nil
		default:
			o.paths = append(o.paths, arg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parseLong reads --NAME, --NAME=VALUE or --NAME VALUE.
func (o *options) parseLong(arg string, rest []string) ([]string, error) {
	name, value, given := strings.Cut(arg, "=")
	known, ok := longOptions[name]
	switch {
	case !ok:
		return rest, fatal(exitSyntax, "there is no option --%s", printable(name))
	case known.refused != "":
		return rest, fatal(exitUnsupported, "option --%s cannot be used here: %s", name, known.refused)
	case known.local && o.server:
		return rest, fatal(exitSyntax, "option --%s is not one for a server", name)
	case known.value == nil && given:
		return rest, fatal(exitSyntax, "option --%s takes no value", name)
	case known.value == nil:
		known.set(o)
		return rest, nil
	}
	if !given {
		if len(rest) == 0 {
			return rest, fatal(exitSyntax, "option --%s needs a value", name)
		}
		value, rest = rest[0], rest[1:]
	}
	return rest, about("--"+name, known.value(o, value))
}

// about is what is wrong with the value of an option.
func about(name string, err error) error {
	if ends := (exit{}); err == nil || errors.As(err, &ends) {
		return err
	}
	return fatal(exitSyntax, "option %s: %s", name, err)
}

// parseShort reads letters; one that takes a value has the rest of them, or
// the next word.
func (o *options) parseShort(letters string, rest []string) ([]string, error) {
	for letters != "" {
		letter := letters[:1]
		letters = letters[1:]
		known, ok := shortOptions[letter[0]]
		switch {
		case !ok:
			return rest, fatal(exitSyntax, "there is no option -%s", printable(letter))
		case known.refused != "":
			return rest, fatal(exitUnsupported, "option -%s cannot be used here: %s", letter, known.refused)
		case known.local && o.server:
			return rest, fatal(exitSyntax, "option -%s is not one for a server", letter)
		case known.value == nil:
			known.set(o)
			continue
		}
		value := letters
		if letters = ""; value == "" && letter != "e" {
			if len(rest) == 0 {
				return rest, fatal(exitSyntax, "option -%s needs a value", letter)
			}
			value, rest = rest[0], rest[1:]
		}
		if err := about("-"+letter, known.value(o, value)); err != nil {
			return rest, err
		}
	}
	return rest, nil
}

// printable is text of the command line in a message.
func printable(text string) string {
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

// check finds options that cannot be used together, once all are known.
func (o *options) check() error {
	switch {
	case o.inplace && o.backup:
		return fatal(exitUnsupported, "options --inplace and --backup cannot be used together here: there is no copy of the file to keep")
	case o.appending > 0 && o.backup:
		return fatal(exitUnsupported, "options --append and --backup cannot be used together here: there is no copy of the file to keep")
	case o.listOnly && !o.sender:
		return fatal(exitUnsupported, "option --list-only is for what a client would receive")
	case o.filesFrom == "-" && !o.sender:
		return fatal(exitSyntax, "option --files-from: the client has both the list and the files")
	case o.delete != never && !o.recursive && !o.directories:
		return fatal(exitSyntax, "--delete takes --recursive (-r) or --dirs (-d)")
	}
	if o.appending > 0 {
		o.inplace = true
	}
	if o.verbose > 0 {
		o.names = max(o.names, 1)
	}
	if o.verbose > 1 {
		o.names, o.skips = 2, max(o.skips, 1)
	}
	if o.backup && o.backupDir == "" {
		if o.suffix == "" {
			o.suffix = "~"
		}
		// Kept files change the directories they are in.
		o.noDirTimes = true
	}
	if strings.Contains(o.suffix, "/") {
		return fatal(exitSyntax, "option --suffix: a suffix has no slash")
	}
	return nil
}

// parseNumber is a whole number of at least so much.
func parseNumber(text string, least int) (int, error) {
	number, err := strconv.ParseInt(text, 10, 32)
	if err != nil || int(number) < least {
		return 0, fmt.Errorf("%q is not a number from %d on", text, least)
	}
	return int(number), nil
}

// parseSize is a number of bytes: "1.5m" (1024 × 1024), "2MB" (1000 × 1000),
// "1g-1". without is the unit of a bare number.
func parseSize(text string, without byte) (int64, error) {
	wrong := fmt.Errorf("%q is not a size", text)
	end := strings.IndexFunc(text, func(c rune) bool { return c != '.' && (c < '0' || c > '9') })
	if end < 0 {
		end = len(text)
	}
	number, err := strconv.ParseFloat(text[:end], 64)
	if err != nil {
		return 0, wrong
	}
	rest := strings.ToLower(text[end:])
	unit := without
	if rest != "" && rest[0] != '+' && rest[0] != '-' {
		unit, rest = rest[0], rest[1:]
	}
	power := strings.IndexByte("bkmgtp", unit)
	if power < 0 {
		return 0, wrong
	}
	base := 1024.0
	if after, is := strings.CutPrefix(rest, "ib"); is {
		rest = after
	} else if after, is := strings.CutPrefix(rest, "b"); is {
		base, rest = 1000, after
	}
	number *= math.Pow(base, float64(power))
	if number >= math.MaxInt64 {
		return 0, wrong
	}
	switch rest {
	case "":
		return int64(number), nil
	case "+1":
		return int64(number) + 1, nil
	case "-1":
		return max(int64(number)-1, 0), nil
	}
	return 0, wrong
}
