package policy

import (
	"fmt"
	"path"
	"strings"

	"github.com/inmanta/inmanta-docker/sidecar/setting"
)

// open reads the paths that a section begins with, up to its brace. It goes on
// into the section whatever is wrong with them, for that to be looked at too.
func (r *reading) open() {
	line := r.line
	header, f := r.header()
	if r.inner != nil {
		r.tell(r.inner.line, setting.Wrong(fmt.Sprintf("write } on a line of its own before line %d", line), "the section that begins here does not end before the next"))
	}
	r.inner, r.unused = nil, where{}
	if f != nil {
		r.tell(line, f)
		return
	}
	r.inner = r.global.within(line)
	r.global.said = map[string]where{}
	paths, f := split(header)
	if f != nil {
		r.tell(line, f)
		return
	}
	for _, one := range paths {
		pattern, f := r.pattern(one)
		if f != nil {
			r.tell(line, f)
			continue
		}
		r.inner.patterns = append(r.inner.patterns, pattern)
	}
}

// header takes everything up to the brace, over lines, those of comments left
// out.
func (r *reading) header() (string, *setting.Fault) {
	var lines []string
	for first := true; ; first = false {
		line := r.rest()
		comment := !first && strings.HasPrefix(strings.TrimLeft(line, " \t"), "#")
		if brace := strings.IndexAny(line, "{}"); brace >= 0 && !comment {
			r.at -= len(line) - brace - 1
			if line[brace] == '}' {
				return "", setting.Wrong("write { behind the last path", "the paths of the section have no { behind them")
			}
			return strings.Join(append(lines, line[:brace]), "\n"), nil
		}
		if !comment {
			lines = append(lines, line)
		}
		if r.at >= len(r.text) {
			return "", setting.Wrong("write { behind the last path", "the paths of the section have no { behind them")
		}
		r.at++
		r.line++
	}
}

// split takes paths apart as a shell does, with ', " and \.
func split(text string) ([]string, *setting.Fault) {
	var all []string
	var one strings.Builder
	within, quote := false, byte(0)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && quote != '\'':
			if i++; i == len(text) {
				return nil, setting.Wrong("write a character behind it, or take it out", "the paths end with a \\")
			}
			// What a quoted character means to a pattern stays quoted there.
			if strings.IndexByte(`*?[]\`, text[i]) >= 0 {
				one.WriteByte('\\')
			}
			one.WriteByte(text[i])
			within = true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, within = c, true
		case quote == 0 && strings.IndexByte(" \t\r\n", c) >= 0:
			if within {
				all = append(all, one.String())
				one.Reset()
			}
			within = false
		default:
			one.WriteByte(c)
			within = true
		}
	}
	if quote != 0 {
		return nil, setting.Wrong("close it", "a quotation mark (%c) is open at the end of the paths", quote)
	}
	if within {
		all = append(all, one.String())
	}
	return all, nil
}

// pattern is what a path says of the names of logs.
func (r *reading) pattern(full string) (string, *setting.Fault) {
	fix := fmt.Sprintf("write %s/ and the name of a log or a pattern, as %s/*.log", r.folder, r.folder)
	folder, name := path.Split(full)
	if !strings.HasPrefix(full, "/") {
		return "", setting.Wrong(fix, "%s is not an absolute path", setting.Shown(full))
	}
	if path.Clean(folder) != r.folder {
		return "", setting.Wrong(fix, "%s is not in %s, and the logs in there are all that the sidecar rotates", setting.Shown(full), r.folder)
	}
	return glob(name)
}

// close ends a section.
func (r *reading) close() {
	if behind := strings.TrimSpace(r.rest()); behind != "" {
		r.tell(r.line, setting.Wrong("write it on the next line", "behind the } there is %s", setting.Shown(behind)))
	}
	if r.inner == nil {
		r.tell(r.line, setting.Wrong("take it out, or write the paths of the section and { before it", "a } without a section"))
		return
	}
	done := r.inner
	r.inner = nil
	for _, pattern := range done.patterns {
		before, is := r.patterns[pattern]
		if is && !done.ignoreDuplicates {
			r.tell(done.line, setting.Wrong("take it out here or there, or write ignoreduplicates in this section", "the section that begins in line %d has the pattern %s too, and would have its logs", before, setting.Shown(pattern)))
		}
		if !is {
			r.patterns[pattern] = done.line
		}
	}
	r.policies.List = append(r.policies.List, done.finish(r.tell))
}
