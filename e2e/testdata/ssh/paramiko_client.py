"""What Paramiko does to the ssh sidecar: PORT KEY KNOWN_HOSTS ROOM."""

import hashlib
import os
import socket
import sys
import threading

import paramiko

port, key, known_hosts, room = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]

client = paramiko.SSHClient()
client.load_host_keys(known_hosts)
client.set_missing_host_key_policy(paramiko.RejectPolicy())
client.connect("127.0.0.1", port, "inmanta", key_filename=key, allow_agent=False, look_for_keys=False)

# Commands: two streams, an input that ends, an exit code.
stdin, stdout, stderr = client.exec_command("cat; echo err >&2; exit 5")
stdin.write("in")
stdin.channel.shutdown_write()
assert (stdout.read(), stderr.read()) == (b"in", b"err\n")
assert stdout.channel.recv_exit_status() == 5
_, stdout, _ = client.exec_command("echo $LANG", environment={"LANG": "C.UTF-8"})
assert stdout.read() == b"C.UTF-8\n"

# A terminal, and its size before and after.
channel = client.invoke_shell("xterm", width=91, height=33)
channel.sendall(b"PS1=; stty -echo; stty size; echo re''ady\n")
seen = b""
while b"ready\r\n" not in seen:
    seen += channel.recv(4096)
assert b"33 91\r\n" in seen, seen
channel.resize_pty(width=120, height=40)
channel.sendall(b"stty size; exit 6\n")
while more := channel.recv(4096):
    seen += more
assert b"40 120\r\n" in seen, seen
assert channel.recv_exit_status() == 6

# Files, pipelined and checked.
sftp = client.open_sftp()
sftp.mkdir(room + "/paramiko")
sftp.chdir(room + "/paramiko")
blob = os.urandom(9_000_000)
with sftp.open("blob", "wb") as f:
    f.set_pipelined(True)
    f.write(blob)
with sftp.open("blob", "rb") as f:
    f.prefetch()
    assert hashlib.sha256(f.read()).digest() == hashlib.sha256(blob).digest()
    assert [bytes(part) for part in f.readv([(0, 10), (8_000_000, 20)])] == [blob[:10], blob[8_000_000:8_000_020]]
with sftp.open("blob", "ab") as f:
    f.write(b"end")
assert sftp.stat("blob").st_size == len(blob) + 3
sftp.truncate("blob", 7)
sftp.chmod("blob", 0o640)
sftp.utime("blob", (1_000_000_000, 1_000_000_001))
seen = sftp.stat("blob")
assert (seen.st_size, seen.st_mode & 0o777, seen.st_mtime) == (7, 0o640, 1_000_000_001), seen
sftp.symlink("blob", "link")
assert sftp.readlink("link") == "blob" and sftp.lstat("link").st_size == 4
sftp.rename("blob", "renamed")
sftp.open("other", "w").close()
sftp.posix_rename("renamed", "other")
assert sorted(sftp.listdir()) == ["link", "other"]
assert sftp.normalize(".") == room + "/paramiko"
for wrong, kind in ((lambda: sftp.stat("absent"), FileNotFoundError), (lambda: sftp.open("/etc/shadow"), PermissionError)):
    try:
        wrong()
    except kind:
        pass
    else:
        raise AssertionError(kind)
sftp.close()

# Both ways through the connection.
transport = client.get_transport()
tunnel = transport.open_channel("direct-tcpip", ("server", 8888), ("127.0.0.1", 1))
tunnel.sendall(b"GET /api/v1/serverstatus HTTP/1.0\r\nHost: server\r\n\r\n")
assert tunnel.recv(12).startswith(b"HTTP/1."), "no answer through direct-tcpip"
tunnel.close()
back = transport.request_port_forward("127.0.0.1", 0)


def answer():
    incoming = transport.accept(30)
    incoming.sendall(b"from paramiko")
    incoming.close()


threading.Thread(target=answer).start()
_, stdout, _ = client.exec_command(f"cat < /dev/tcp/127.0.0.1/{back}")
assert stdout.read() == b"from paramiko"
transport.cancel_port_forward("127.0.0.1", back)

# New keys in the middle, and a question after the other end.
transport.renegotiate_keys()
transport.global_request("keepalive@openssh.com", wait=True)
_, stdout, _ = client.exec_command("echo still here")
assert stdout.read() == b"still here\n"
client.close()

# Without the key, nothing.
stranger = paramiko.SSHClient()
stranger.load_host_keys(known_hosts)
try:
    stranger.connect("127.0.0.1", port, "inmanta", pkey=paramiko.RSAKey.generate(2048), allow_agent=False, look_for_keys=False)
except paramiko.AuthenticationException:
    pass
else:
    raise AssertionError("a stranger got in")
try:
    stranger.connect("127.0.0.1", port, "inmanta", password="inmanta", allow_agent=False, look_for_keys=False)
except paramiko.AuthenticationException:
    pass
else:
    raise AssertionError("a password got in")
print("paramiko is served")
