"""Writers of logs as the orchestrator's are, for the proof of the logrotate sidecar.

Takes one JSON object as its argument:

  journal  a file, outside of the logs' file system: one 64-bit number for each
           identity in `identities`, the last line whose write(2) has returned
  uid      become this user before the logs are opened
  writers  a list of: id, kind, path, and optionally rate (lines a second, 0: as
           fast as it goes), length (bytes of a line), lines (stop after so many),
           stall (seconds between stat and write of a watched writer)

Says "ready" when all files are open, and answers each command on its standard
input with a line: "restart ID", "truncate ID", "close ID", "pause", "resume",
"stop". A line is `ID NUMBER LENGTH LETTERS`, with letters that follow from the
number, so that a torn one can be told.
"""

import json
import logging
import logging.handlers
import mmap
import os
import select
import struct
import subprocess
import sys
import time


class Failing:
    """What the standard library says of a line that could not be written, as an error."""

    def handleError(self, record):
        raise


class Watched(Failing, logging.handlers.WatchedFileHandler):
    pass


class Kept(Failing, logging.FileHandler):
    pass


class Stalled(Watched):
    """Sees that its file is still the one, and is stopped before it writes to it."""

    stall = 0.0

    def emit(self, record):
        self.reopenIfNeeded()
        time.sleep(self.stall)
        logging.FileHandler.emit(self, record)


class Writer:
    """One identity's lines, numbered from 1."""

    turn = 64  # lines at most before it is another one's turn

    def __init__(self, config, slot):
        self.config = config
        self.identity = config["id"]
        self.path = config["path"]
        self.rate = config.get("rate", 0)
        self.length = config.get("length", 100)
        self.limit = config.get("lines", 0)
        self.slot = slot
        self.number = 0
        self.began = None
        self.before = 0
        self.padding = [chr(97 + i) * self.length for i in range(26)]
        self.open()

    def line(self, number):
        head = "%s %09d %d " % (self.identity, number, self.length)
        return head + self.padding[number % 26][: self.length - len(head) - 1]

    def acknowledge(self):
        struct.pack_into("=Q", journal, 8 * self.slot, self.number)

    def finished(self):
        return bool(self.limit) and self.number >= self.limit

    def resume(self):
        self.began = None

    def due(self, now):
        """How many lines are to be written now."""
        if self.began is None:
            self.began, self.before = now, self.number
        most = self.turn if self.length < 10000 else 1
        if self.rate:
            most = min(256, int((now - self.began) * self.rate) - (self.number - self.before))
        if self.limit:
            most = min(most, self.limit - self.number)
        return most

    def some(self, now):
        """Writes what is due; whether that was anything."""
        many = self.due(now)
        for _ in range(many):
            if not self.one():
                return False
        return many > 0


class Logging(Writer):
    """A handler of the standard library."""

    handlers = {"watched": Watched, "file": Kept, "stalled": Stalled}

    def open(self):
        self.handler = self.handlers[self.config["kind"]](self.path)
        self.handler.stall = self.config.get("stall", 0.0)
        if self.handler.stall:
            self.turn = 1

    def close(self):
        self.handler.close()

    def truncate(self):
        os.ftruncate(self.handler.stream.fileno(), 0)

    def one(self):
        # A line that found no room stays in the stream's buffer, before the next one.
        self.number += 1
        record = logging.LogRecord("proof", logging.INFO, "", 0, self.line(self.number), None, None)
        try:
            self.handler.handle(record)
        except OSError:
            return False
        self.acknowledge()
        return True


class Plain(Writer):
    """A descriptor, written to as it is: "kept" (wb+) or "append" (ab)."""

    modes = {"kept": "wb+", "append": "ab"}

    def open(self):
        self.file = open(self.path, self.modes[self.config["kind"]], buffering=0)
        self.rest = b""

    def close(self):
        self.file.close()

    def truncate(self):
        self.file.truncate(0)

    def one(self):
        if not self.rest:
            self.rest = (self.line(self.number + 1) + "\n").encode()
        try:
            while self.rest:
                self.rest = self.rest[self.file.write(self.rest) :]
        except OSError:
            return False
        self.number += 1
        self.acknowledge()
        return True


class Inherited(Writer):
    """A shell whose standard output the file is, and its children, "ID" and "IDc":
    it is told a number, writes that line, has a child write it too, and tells."""

    turn = 2

    SHELL = """id=$1; length=$2; shift 2
while read -r n; do
  eval p=\\"\\${$((n % 26 + 1))}\\"
  printf '%s %09d %s %s\\n' "$id" "$n" "$length" "$p"
  (printf '%s %09d %s %s\\n' "${id}c" "$n" "$((length + 1))" "$p")
  echo >&2
done"""

    def open(self):
        # The child's identity is one letter longer, and so are its lines.
        padding = self.length - len("%s %09d %d " % (self.identity, 0, self.length)) - 1
        letters = [chr(97 + i) * padding for i in range(26)]
        with open(self.path, "wb+") as file:
            self.shell = subprocess.Popen(
                ["sh", "-c", self.SHELL, "sh", self.identity, str(self.length), *letters],
                stdin=subprocess.PIPE, stdout=file, stderr=subprocess.PIPE, bufsize=0,
            )

    def close(self):
        self.shell.stdin.close()
        self.shell.wait()

    def one(self):
        self.shell.stdin.write(b"%d\n" % (self.number + 1))
        if not self.shell.stderr.read(1):
            raise SystemExit("a shell has gone")
        self.number += 1
        self.acknowledge()
        return True


kinds = {
    "watched": Logging,
    "file": Logging,
    "stalled": Logging,
    "kept": Plain,
    "append": Plain,
    "inherited": Inherited,
}

config = json.loads(sys.argv[1])

with open(config["journal"], "r+b") as file:
    journal = mmap.mmap(file.fileno(), 0)
if os.getuid() != config["uid"]:
    os.setgroups([])
    os.setgid(config["uid"])
    os.setuid(config["uid"])

writers = {}
for each in config["writers"]:
    writers[each["id"]] = kinds[each["kind"]](each, len(writers))


def answer(command, identity=None):
    """Does what is asked for; whether this is to go on."""
    global paused
    writer = writers.get(identity)
    if command == "restart":
        writer.close()
        writer.open()
        writer.limit = writer.config.get("lines", 0)
        writer.resume()
    elif command == "truncate":
        writer.truncate()
    elif command == "close":
        writer.close()
        writer.limit = writer.number or -1
    elif command == "pause":
        paused = True
    elif command == "resume":
        paused = False
        for each in writers.values():
            each.resume()
    elif command == "stop":
        for each in writers.values():
            each.close()
    print("done", flush=True)
    return command != "stop"


paused = False
print("ready", flush=True)
going = True
while going:
    now = time.monotonic()
    wrote = False
    if not paused:
        for each in writers.values():
            if not each.finished():
                wrote = each.some(now) or wrote
    readable, _, _ = select.select([0], [], [], 0 if wrote else 0.001)
    if readable:
        # One command at a time: each is answered before the next is sent.
        said = os.read(0, 4096).decode().split()
        going = bool(said) and answer(*said)
