package policy

import (
	"github.com/inmanta/inmanta-docker/sidecar/schedule"
	"github.com/inmanta/inmanta-docker/sidecar/setting"
)

// Effect is what becomes of a directive of logrotate.
type Effect string

// The effects there are.
const (
	// Honoured directives do here what they do to logrotate.
	Honoured Effect = "honoured"
	// Accepted ones change nothing here, for the reason their meaning gives.
	Accepted Effect = "accepted"
	// Refused ones are a mistake in a configuration.
	Refused Effect = "refused"
)

// Directive is one word of a logrotate configuration.
type Directive struct {
	Name   string
	Effect Effect
	// Meaning is what it does here, why it changes nothing, or why it is refused:
	// a sentence without its full stop.
	Meaning string
	// Fix is what to do instead of one that is refused.
	Fix string
}

// Directives are all that logrotate knows, up to what will follow its version
// 3.22, in the order of its manual page. ParseFile refuses every other word.
func Directives() []Directive {
	all := make([]Directive, len(directives))
	for i, one := range directives {
		all[i] = one.Directive
	}
	return all
}

// takes is what stands behind a directive.
type takes int

const (
	nothing  takes = iota
	value          // the rest of the line
	optional       // the rest of the line, if there is any
	script         // lines up to endscript
)

// directive is one row of the table.
type directive struct {
	Directive
	takes takes
	// group are the directives of which only the last in a section would count,
	// and which are therefore refused beside each other; empty for those that do
	// nothing.
	group string
	// set puts a value into a section.
	set func(section *section, value string) *setting.Fault
	// noted is whether the meaning is worth telling where it is used.
	noted bool
}

func honoured(name, group string, takes takes, meaning string, set func(*section, string) *setting.Fault) directive {
	return directive{Directive{name, Honoured, meaning, ""}, takes, group, set, false}
}

func accepted(name string, takes takes, meaning string) directive {
	return directive{Directive{name, Accepted, meaning, ""}, takes, "", func(*section, string) *setting.Fault { return nil }, true}
}

func refused(name string, takes takes, meaning, fix string) directive {
	return directive{Directive{name, Refused, meaning, fix}, takes, "", func(*section, string) *setting.Fault { return setting.Wrong(fix, "%s", meaning) }, false}
}

const (
	noScripts    = "no script is run in the sidecar"
	noScriptFix  = "take it out, up to its endscript: the sidecar finds out by itself when a writer has let go of a log, so none has to be told; let a timer of the host do whatever else it does"
	named        = "archives are named after the log and the time in UTC, as server.log-20261127T062412Z.gz, so that no archive is ever renamed or written over"
	namedFix     = "take it out"
	inFolder     = "archives stay beside their log, where putting one in its place is one step that cannot be interrupted"
	noMail       = "no mail is sent from the sidecar"
	onlyIncludes = "only include goes by it, and that is refused"
	onlyMail     = "only mail goes by it, and that is refused"
	onlyOldDir   = "only olddir goes by it, and that is refused"
)

// directives is the one table. What a value may be is checked by its set.
var directives = []directive{
	honoured("rotate", "rotate", value, "of how many periods archives are kept: all those of one day, say, count once. 0 removes at once, -1 keeps all. It has to be said: logrotate's default is 0", (*section).setRotate),
	refused("olddir", value, inFolder, "take it out"),
	accepted("noolddir", nothing, inFolder),
	{Directive{"su", Accepted, "the sidecar is inmanta and nothing else; any other user is refused", ""}, value, "su", (*section).setSu, true},

	honoured("hourly", "schedule", nothing, "once an hour", scheduleIs(schedule.Hourly)),
	honoured("daily", "schedule", nothing, "once a day, when it begins", scheduleIs(schedule.Daily)),
	honoured("weekly", "schedule", optional, "once a week, which begins with Sunday (0, or nothing) or another day up to Saturday (6); 7 is refused", scheduleIs(schedule.Weekly)),
	honoured("monthly", "schedule", optional, "once a month, which begins with its first day or another, or with its last where it has no such day", scheduleIs(schedule.Monthly)),
	honoured("yearly", "schedule", nothing, "once a year", scheduleIs(schedule.Yearly)),
	refused("minutes", value, "there is no schedule shorter than an hour", "write hourly, and maxsize for logs that grow faster"),
	honoured("size", "schedule", value, "when larger than so many bytes, whenever that is; it cannot stand beside a schedule", (*section).setSize),

	accepted("missingok", nothing, "a log that is missing is never a mistake: environments come and go"),
	refused("nomissingok", nothing, "a log that is missing is never a mistake: environments come and go", "take it out"),
	honoured("ignoreduplicates", "ignoreduplicates", nothing, "a log belongs to the first section that matches it; without this, a pattern that stands in two sections is refused", (*section).setIgnoreDuplicates),
	honoured("ifempty", "ifempty", nothing, "empty logs are rotated too. Unlike with logrotate they are not unless this is said", ifEmptyIs(true)),
	honoured("notifempty", "ifempty", nothing, "empty logs are left alone; they are unless ifempty is said", ifEmptyIs(false)),
	refused("minage", value, "it goes by the last line of a log, so that one in use is never rotated", "take it out, or write minsize for logs that are to have something in them"),
	honoured("maxage", "maxage", value, "archives of more than so many days are removed, whether a rotation is due or not", (*section).setMaxAge),
	honoured("minsize", "minsize", value, "not before the log has so many bytes, even where the schedule says so", (*section).setMinSize),
	honoured("maxsize", "maxsize", value, "when larger than so many bytes, even before the schedule says so, at any time", (*section).setMaxSize),
	accepted("tabooext", value, onlyIncludes),
	accepted("taboopat", value, onlyIncludes),

	honoured("create", "create", optional, "the mode that the new log is given once its writer has made it; without a mode it stays as its writer made it. The owner can only be inmanta", (*section).setCreate),
	honoured("nocreate", "create", nothing, "the new log stays as its writer made it", (*section).setNoCreate),
	accepted("createolddir", optional, onlyOldDir),
	accepted("nocreateolddir", nothing, onlyOldDir),
	refused("copy", nothing, "the log would grow for ever, and be in every archive again", "take it out: logs that their writer keeps open are rotated in place"),
	accepted("nocopy", nothing, "a log is never left as it was"),
	{Directive{"copytruncate", Honoured, "used only where the file system has no way to rotate without loss what its writer keeps open: lines that are written meanwhile are lost then", ""}, nothing, "copytruncate", copyTruncateIs(true), true},
	honoured("nocopytruncate", "copytruncate", nothing, "nothing is rotated in a way that can lose lines", copyTruncateIs(false)),
	honoured("renamecopy", "copytruncate", nothing, "as always here: a log is set aside by a rename, archived and then removed; like nocopytruncate", copyTruncateIs(false)),
	accepted("norenamecopy", nothing, "a log is set aside by a rename in any case, and nothing is lost by it"),
	refused("shred", nothing, "overwriting a file does not make it unreadable on file systems that keep a journal or copies, or on solid state disks", "take it out, and encrypt the volume where that matters"),
	accepted("noshred", nothing, "archives are unlinked"),
	accepted("shredcycles", value, "only shred goes by it, and that is refused"),
	refused("allowhardlink", nothing, "a log with a second name may be anybody's file, planted to be changed", "take it out, and give the log one name"),
	accepted("noallowhardlink", nothing, "only files with one name are rotated"),

	honoured("compress", "compress", nothing, "with gzip, unless compresscmd says zstd", compressIs(true)),
	honoured("nocompress", "compress", nothing, "archives are not compressed", compressIs(false)),
	honoured("compresscmd", "compresscmd", value, "gzip (or pigz) or zstd, with or without a folder; both are built in, and no program is run. Any other is refused", (*section).setCommand),
	honoured("uncompresscmd", "uncompresscmd", value, "has to fit compresscmd", (*section).setUncompressCommand),
	honoured("compressext", "compressext", value, "has to be that of the format: .gz or .zst", (*section).setExtension),
	honoured("compressoptions", "compressoptions", value, "the level: -1 to -9 for gzip, -1 to -19 for zstd. Any other is refused", (*section).setOptions),
	accepted("delaycompress", nothing, "it is there for writers that have not let go of the log yet, and nothing is compressed here before its last writer has"),
	accepted("nodelaycompress", nothing, "an archive is compressed as soon as its last writer has let go of it"),

	refused("extension", value, named, namedFix),
	refused("addextension", value, named, namedFix),
	refused("start", value, named, namedFix),
	accepted("dateext", nothing, named),
	refused("nodateext", nothing, named, namedFix),
	refused("dateformat", value, named, namedFix),
	refused("dateyesterday", nothing, named, namedFix),
	accepted("nodateyesterday", nothing, "archives bear the time of their rotation"),
	refused("datehourago", nothing, named, namedFix),
	accepted("nodatehourago", nothing, "archives bear the time of their rotation"),

	refused("mail", value, noMail, "take it out, and let another container read the archives if somebody is to get them"),
	accepted("nomail", nothing, noMail),
	accepted("mailfirst", nothing, onlyMail),
	accepted("maillast", nothing, onlyMail),

	refused("include", value, "the configuration is one file", "write what is in there in its place"),

	accepted("sharedscripts", nothing, noScripts),
	accepted("nosharedscripts", nothing, noScripts),
	refused("firstaction", script, noScripts, noScriptFix),
	refused("lastaction", script, noScripts, noScriptFix),
	refused("prerotate", script, noScripts, noScriptFix),
	refused("postrotate", script, noScripts, noScriptFix),
	refused("preremove", script, noScripts, noScriptFix),
	refused("endscript", nothing, "no script ends here", "take it out"),

	accepted("errors", optional, "logrotate itself has given it up"),
}

func findDirective(name string) (directive, bool) {
	for _, one := range directives {
		if one.Name == name {
			return one, true
		}
	}
	return directive{}, false
}
