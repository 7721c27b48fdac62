// Package rotation rotates logs that other processes hold open, without losing
// or doubling a byte of them, whatever moment it is killed at.
//
// What is on disk is the truth. A log NAME has archives (NAME-TIME.gz), oldest
// first; then segments (NAME-TIME), set aside and not yet archived; then the
// live file NAME. Its bytes move from the live file to a segment to an archive,
// and never change order.
//
//	set aside   The live file is renamed. From here on nobody can truncate it
//	            by opening its name.
//	settle      What becomes of the segment depends on who holds it, which is
//	            found out: a read lease (fcntl(2)) is granted only where no
//	            process has the file open for writing.
//	            Nobody: it is archived whole, then removed.
//	            Somebody, and the log's name is there anew: the writer reopens,
//	            and lets go of the segment with the next line. It is waited for.
//	            Somebody who goes on writing to it: the writer keeps it. What is
//	            there is archived, its blocks are given back to the file system
//	            beneath the writer, and the file gets its name back.
//
// An archive has its name only once it is complete and synced; only then is its
// source removed. What is between the two is noted, durably, in a folder of its
// own, so that whoever is started next goes on from there.
package rotation
