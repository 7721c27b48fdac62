// Package policy decides which logs are rotated, when, and how long what was
// rotated is kept. It is pure: clocks, files and folders are told to it as plain
// values. (The one thing it looks up is what Go knows of a time zone, of which a
// copy is built in.)
//
// A Policies comes from settings (FromSettings) or from an operator's own
// logrotate configuration (ParseFile). Either is refused as a whole, with all
// that is wrong at once, each with its setting or its line. Every directive that
// logrotate knows stands in one table, Directives, as honoured, accepted or
// refused; a word that is not in it is refused too, so nothing an operator wrote
// goes unheeded in silence.
//
// # When
//
// Time is divided into periods by the calendar of the policy's time zone: an
// hour, a day, a week, a month, a year. A log is due when a period has begun
// since its last rotation, so it is rotated once a period: not twice in a day of
// 25 hours, not at all in an hour that a clock skips, and once, at once, after
// the machine was off at midnight. A clock that is wrong costs no more than a
// rotation too many or one period without; it makes no storm of them: a last
// rotation more than 25 hours ahead counts as one of just now.
//
// # How long
//
// What is kept is counted in periods and not in archives, so that a log that was
// rotated a hundred times on one bad day still has its other days. The limits of
// age and of total size are in days and bytes and go by the clock: where that is
// years ahead, old archives are as old as it says. What somebody still holds is
// never removed.
package policy
