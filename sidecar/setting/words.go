package setting

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // an image need not have any
)

// Fault is what is wrong with a word and what to do, each a sentence without its
// full stop; whoever knows where the word stands makes a problem of it.
type Fault struct{ What, Fix string }

// Wrong is a fault.
func Wrong(fix, what string, arguments ...any) *Fault {
	return &Fault{fmt.Sprintf(what, arguments...), fix}
}

// longestShown is how much of a word is quoted back, in bytes.
const longestShown = 60

// Shown quotes what a person wrote, escaped and not at length.
func Shown(text string) string {
	if len(text) > longestShown {
		return strconv.Quote(strings.ToValidUTF8(text[:longestShown], "")) + "…"
	}
	return strconv.Quote(text)
}

// Number reads a whole number of zero or more. logrotate takes 010 for eight and
// 0x10 for sixteen, which hardly anybody means: both are refused.
func Number(text string) (int64, bool) {
	if text == "" || len(text) > 1 && text[0] == '0' || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	value, err := strconv.ParseInt(text, 10, 64)
	return value, err == nil
}

// units are the suffixes of sizes, as logrotate has them.
var units = map[byte]int64{'k': 1 << 10, 'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30}

// Size reads a size in bytes: digits, and k, M or G for 1024 of the next smaller.
func Size(text string) (int64, *Fault) {
	digits, unit := text, int64(1)
	if text != "" {
		if factor, is := units[text[len(text)-1]]; is {
			digits, unit = text[:len(text)-1], factor
		}
	}
	value, is := Number(digits)
	if !is || value > math.MaxInt64/unit {
		return 0, Wrong("write a number of bytes, or one with k, M or G behind it, as 100k or 10M", "%s is not a size%s", Shown(text), Remark(text))
	}
	return value * unit, nil
}

// mostDays and mostKept are more than anybody has use for, and small enough to
// calculate with.
const (
	mostDays = 36500
	mostKept = 1_000_000
)

// Keep reads how many things, in the plural, are kept; -1 is all of them.
func Keep(things string) func(text string) (int, *Fault) {
	return func(text string) (int, *Fault) {
		if text == "-1" {
			return -1, nil
		}
		value, is := Number(text)
		if !is || value > mostKept {
			return 0, Wrong("write how many "+things+" to keep, as 10; -1 keeps all of them", "%s is not a number of %s%s", Shown(text), things, Remark(text))
		}
		return int(value), nil
	}
}

// Days reads a number of days.
func Days(text string) (int, *Fault) {
	value, is := Number(text)
	if !is || value > mostDays {
		return 0, Wrong(fmt.Sprintf("write a number of days of at most %d, as 30", mostDays), "%s is not a number of days%s", Shown(text), Remark(text))
	}
	return int(value), nil
}

// Zone reads the name of a time zone.
func Zone(text string) (*time.Location, *Fault) {
	zone, err := time.LoadLocation(text)
	if err != nil || text == "Local" {
		return nil, Wrong("write the name of a time zone as the IANA has them, as Europe/Brussels, or UTC", "there is no time zone %s", Shown(text))
	}
	return zone, nil
}

// Remark explains the mistake that nearly everybody makes.
func Remark(value string) string {
	if strings.Contains(value, "#") {
		return ": a comment has to stand on a line of its own"
	}
	return ""
}
