// Package bundle is the file that a backup is: what is in it, how it is written
// in one go and read in one go, and how it is encrypted. It knows streams only.
//
// # The format, for whoever writes another reader
//
// A backup is a POSIX (ustar) tar archive, or such an archive inside of an age
// file (https://age-encryption.org/v1, binary). Its entries, all regular files
// and in this order:
//
//	inmanta-backup.json     the Header: what is known before anything is read
//	PART/000001             a part, in segments of exactly 8 MiB but for the last,
//	PART/000002 …           numbered from 1 without gaps, and not after another part's
//	manifest.json           the Manifest: checksums of the above, and the Content
//	manifest.json.sha256    the manifest's checksum, as `sha256sum` writes it
//
// The parts are `state.tar.zst`, a tar of the orchestrator's state volume
// compressed with zstd, and `database.dump`, what `pg_dump --format=custom`
// writes, in either order, each at most once. An empty part is one empty segment;
// otherwise no segment is empty. Put together, its segments are the part:
//
//	tar x < FILE && sha256sum -c manifest.json.sha256
//	cat database.dump/* | pg_restore …
//	cat state.tar.zst/* | zstd -d | tar x
//
// There is one way to write each header block: mode 0600; owner, group and both
// device numbers 0; no names of owner and group, no prefix, no link; type '0'; magic
// "ustar", version "00"; and the time that the Header gives as `created`, in whole
// seconds. Numbers are octal, filled with zeros and ended by a NUL; the checksum has
// six digits, a NUL and a space. Padding is zeros, and after the two blocks of zeros
// that end the archive there is nothing.
//
// Both JSON files are one object in UTF-8 of at most 16 MiB, with the fields of
// [Header] and [Manifest] and no others. `format` is 1. A reader that meets a
// higher number should say that it is too old and look no further: a later format
// still begins with an entry inmanta-backup.json whose object has `format`.
//
// A backup without its manifest was never finished. The checksums find accidents;
// who can write the file can write others. A file that is encrypted for
// recipients can be made by anyone who knows them; only with a passphrase does
// reading it also say that it was written by somebody who knows it.
//
// # Memory
//
// Writing takes the 8 MiB of one segment, reading less than 1 MiB, and a header or
// a manifest a few times its own size. Encryption adds a few MiB that the collector
// has not seen to yet, and a passphrase 256 MiB for the second that it takes to turn
// it into a key; a file that asks for more is refused. None of this grows with the
// backup: a test holds it, with 1 GiB, to 24 MiB for both at once.
package bundle
