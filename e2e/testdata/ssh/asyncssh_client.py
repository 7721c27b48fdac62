"""What asyncssh does to the ssh sidecar: PORT KEY KNOWN_HOSTS ROOM."""

import asyncio
import os
import sys

import asyncssh

port, key, known_hosts, room = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]


async def main():
    async with asyncssh.connect(
        "127.0.0.1", port, username="inmanta", client_keys=[key], known_hosts=known_hosts, agent_path=None, config=[]
    ) as connection:
        # Commands, many at once on one connection.
        result = await connection.run("cat; echo err >&2; exit 5", input="in")
        assert (result.stdout, result.stderr, result.exit_status) == ("in", "err\n", 5), result
        many = await asyncio.gather(*(connection.run(f"sleep 0.2; echo {i}") for i in range(30)))
        assert [r.stdout for r in many] == [f"{i}\n" for i in range(30)]

        # Signals, both ways.
        result = await connection.run("kill -TERM $$")
        assert result.exit_signal and result.exit_signal[0] == "TERM", result.exit_signal
        async with connection.create_process("trap 'echo interrupted; exit 4' INT; echo ready; while :; do sleep 0.05; done") as process:
            assert await process.stdout.readline() == "ready\n"
            process.send_signal("INT")
            assert await process.stdout.readline() == "interrupted\n"
            await process.wait()
            assert process.exit_status == 4, process.exit_status
        async with connection.create_process("echo ready; exec sleep 1000") as process:
            assert await process.stdout.readline() == "ready\n"
            process.terminate()
            await process.wait()
            assert process.exit_signal[0] == "TERM", process.exit_signal

        # A terminal.
        async with connection.create_process("stty size; read _; stty size", term_type="xterm", term_size=(91, 33)) as process:
            assert (await process.stdout.readline()).strip() == "33 91"
            process.change_terminal_size(120, 40)
            process.stdin.write("\n")
            lines = (await process.stdout.read()).split()
            assert lines[-2:] == ["40", "120"], lines

        # Files.
        async with connection.start_sftp_client() as sftp:
            await sftp.mkdir(room + "/asyncssh")
            blob = os.urandom(9_000_000)
            local = os.path.join(os.environ["TMPDIR"], "asyncssh-blob")
            with open(local, "wb") as f:
                f.write(blob)
            await sftp.put(local, room + "/asyncssh/blob", preserve=True)
            await sftp.get(room + "/asyncssh/blob", local + ".back")
            with open(local + ".back", "rb") as f:
                assert f.read() == blob
            assert await sftp.getsize(room + "/asyncssh/blob") == len(blob)
            await sftp.posix_rename(room + "/asyncssh/blob", room + "/asyncssh/other")
            assert sorted(await sftp.listdir(room + "/asyncssh")) == [".", "..", "other"]
            assert (await sftp.statvfs(room)).bsize > 0
            try:
                await sftp.stat(room + "/absent")
            except asyncssh.SFTPNoSuchFile:
                pass
            else:
                raise AssertionError("an absent file is there")
            await sftp.rmtree(room + "/asyncssh")
        # And by scp, which asyncssh speaks in the old way.
        await asyncssh.scp(local, (connection, room + "/scp"))
        await asyncssh.scp((connection, room + "/scp"), local + ".scp")
        with open(local + ".scp", "rb") as f:
            assert f.read() == blob

        # Through the connection: ports and sockets, both ways.
        reader, writer = await connection.open_connection("server", 8888)
        writer.write(b"GET /api/v1/serverstatus HTTP/1.0\r\nHost: server\r\n\r\n")
        assert b"Inmanta" in await reader.read()
        async def serve(reader, writer):
            writer.write(b"from asyncssh")
            writer.close()

        listener = await connection.start_server(lambda *_: serve, "127.0.0.1", 0)
        result = await connection.run(f"cat < /dev/tcp/127.0.0.1/{listener.get_port()}")
        assert result.stdout == "from asyncssh", result
        listener.close()
        path = f"/tmp/asyncssh-{os.getpid()}.sock"
        async with await connection.start_unix_server(lambda: serve, path):
            reader, _ = await connection.open_unix_connection(path)
            assert await reader.read() == b"from asyncssh"

    try:
        await asyncssh.connect(
            "127.0.0.1", port, username="inmanta", password="inmanta", client_keys=None, known_hosts=known_hosts, agent_path=None, config=[]
        )
    except asyncssh.PermissionDenied:
        pass
    else:
        raise AssertionError("a password got in")
    print("asyncssh is served")


asyncio.run(main())
