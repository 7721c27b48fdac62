package policy

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// fault is what is wrong with a word and what to do, each a sentence without its
// full stop; whoever knows where the word stands makes a problem of it.
type fault struct{ what, fix string }

func wrong(fix, what string, arguments ...any) *fault {
	return &fault{fmt.Sprintf(what, arguments...), fix}
}

// longestShown is how much of a word is quoted back, in bytes.
const longestShown = 60

// shown quotes what a person wrote, escaped and not at length.
func shown(text string) string {
	if len(text) > longestShown {
		return strconv.Quote(strings.ToValidUTF8(text[:longestShown], "")) + "…"
	}
	return strconv.Quote(text)
}

// number reads a whole number of zero or more. logrotate takes 010 for eight and
// 0x10 for sixteen, which hardly anybody means: both are refused.
func number(text string) (int64, bool) {
	if text == "" || len(text) > 1 && text[0] == '0' || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	value, err := strconv.ParseInt(text, 10, 64)
	return value, err == nil
}

// units are the suffixes of sizes, as logrotate has them.
var units = map[byte]int64{'k': 1 << 10, 'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30}

// parseSize reads a size in bytes: digits, and k, M or G for 1024 of the next
// smaller.
func parseSize(text string) (int64, *fault) {
	digits, unit := text, int64(1)
	if text != "" {
		if factor, is := units[text[len(text)-1]]; is {
			digits, unit = text[:len(text)-1], factor
		}
	}
	value, is := number(digits)
	if !is || value > math.MaxInt64/unit {
		return 0, wrong("write a number of bytes, or one with k, M or G behind it, as 100k or 10M", "%s is not a size%s", shown(text), remark(text))
	}
	return value * unit, nil
}

// mostDays and mostPeriods are more than anybody has use for, and small enough to
// calculate with.
const (
	mostDays    = 36500
	mostPeriods = 1_000_000
)

// parseKeep reads how many periods are kept; -1 is all of them.
func parseKeep(text string) (int, *fault) {
	if text == "-1" {
		return -1, nil
	}
	value, is := number(text)
	if !is || value > mostPeriods {
		return 0, wrong("write how many rotations to keep, as 10; -1 keeps all of them", "%s is not a number of rotations%s", shown(text), remark(text))
	}
	return int(value), nil
}

// parseDays reads a number of days.
func parseDays(text string) (int, *fault) {
	value, is := number(text)
	if !is || value > mostDays {
		return 0, wrong(fmt.Sprintf("write a number of days of at most %d, as 30", mostDays), "%s is not a number of days%s", shown(text), remark(text))
	}
	return int(value), nil
}

// remark explains the mistake that nearly everybody makes.
func remark(value string) string {
	if strings.Contains(value, "#") {
		return ": a comment has to stand on a line of its own"
	}
	return ""
}
