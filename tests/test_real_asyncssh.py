"""asyncssh, unmodified: its server, its own client beside it in one program, and peers of the script.

What goes over the wire is encrypted with keys that are made anew in every run, so that traces differ in bytes.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Scenario

if TYPE_CHECKING:
    from collections.abc import Generator

pytest.importorskip("asyncssh")
SSH: Any = importlib.import_module("asyncssh")

PORT = 8022
HERE = ("localhost", PORT)
KEY: Any = SSH.generate_private_key("ssh-ed25519")


@pytest.fixture(autouse=True)
def nothing_is_said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """No log tells of an error, and the collector has nothing to complain of."""
    said: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", said.append)
    yield
    gc.collect()
    assert not said
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []


class Guests(SSH.SSHServer):  # type: ignore[misc]  # it need not be installed
    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    async def validate_password(self, username: str, password: str) -> bool:
        await asyncio.to_thread(hash, password)  # as one does that takes its time for it
        return password == "secret"


async def upper(process: Any) -> None:
    """A command that says what it is, and then says back what it is told."""
    try:
        process.stdout.write(f"{process.command}\n")
        async for line in process.stdin:
            await asyncio.sleep(1)
            process.stdout.write(line.upper())
        process.exit(0)
    except SSH.BreakReceived:
        process.exit(1)


async def listen() -> Any:
    return await SSH.listen(*HERE, server_factory=Guests, server_host_keys=[KEY], process_factory=upper)


def connect(password: str = "secret") -> Any:
    return SSH.connect(*HERE, known_hosts=None, username="guest", password=password, client_keys=None, config=None)


def now() -> float:
    return asyncio.get_running_loop().time() - 1000


async def quick() -> tuple[str, float]:
    async with connect() as conn:
        result = await conn.run("quick", input="hi\n", check=True)
        return result.stdout, now()


async def slow() -> tuple[str, float]:
    async with connect() as conn, conn.create_process("slow") as process:
        for piece in ("h", "i\nho", "\n"):
            process.stdin.write(piece)
            await asyncio.sleep(5)
        process.stdin.write_eof()
        return await process.stdout.read(), now()


async def leaves() -> None:
    """In the middle of a command."""
    conn = await connect()
    process = await conn.create_process("leaves")
    process.stdin.write("hi\n")
    await process.stdout.readline()
    conn.abort()
    await conn.wait_closed()


async def is_refused() -> None:
    with pytest.raises(SSH.PermissionDenied):
        await connect("guess")


def crowd(net: Scenario) -> None:
    """Who does not even get as far as a login."""
    banner = re.compile(rb"SSH-2\.0-AsyncSSH_.*\r\n")
    net.client("mallory", to=HERE).expects(banner, until=b"\n").sends(b"SSH-2.0-x\r\n").waits(1).resets()
    net.client("eve", to=HERE).sends(b"SSH-2").waits(1).resets()
    net.client("carol", to=HERE).expects(banner, until=b"\n").sends(b"SSH-2.0-y\r\n").waits(1).closes()


def test_a_login_and_a_command_beside_clients_that_are_slow_or_leave() -> None:
    async def main() -> Any:
        server = await listen()
        results = await asyncio.gather(quick(), slow(), leaves(), is_refused())
        server.close()
        await server.wait_closed()
        return results[:2]

    for _ in range(2):
        with Scenario() as net:
            crowd(net)
            assert net.run(main) == [("quick\nHI\n", 1), ("slow\nHI\nHO\n", 16)]


def test_a_server_alone_is_ended_when_all_have_left() -> None:
    async def main() -> None:
        server = await listen()
        await server.wait_closed()

    with Scenario() as net:
        crowd(net)
        net.run(main)
        assert net.now == 1


def test_an_idle_client_is_let_go_after_two_minutes() -> None:
    async def main() -> None:
        server = await listen()
        await server.wait_closed()

    with Scenario() as net:
        net.client("alice").expects(re.compile(rb"SSH-2\.0-AsyncSSH_.*\r\n"), until=b"\n").expects_eof()
        net.run(main)
        assert net.now == 120


def test_a_file_is_copied(tmp_path: Any) -> None:
    """By SFTP: what reads and writes files waits in no executor, and what lists folders does."""

    async def main() -> bytes:
        server = await SSH.listen(*HERE, server_factory=Guests, server_host_keys=[KEY], sftp_factory=True)
        async with connect() as conn, conn.start_sftp_client() as sftp:
            await sftp.put(str(tmp_path / "here"), str(tmp_path / "there"))
            names = sorted(await sftp.listdir(str(tmp_path)))
        server.close()
        await server.wait_closed()
        assert names == [".", "..", "here", "there"]
        read: bytes = (tmp_path / "there").read_bytes()
        return read

    (tmp_path / "here").write_bytes(b"x" * 1_000_000)
    with Scenario() as net:
        assert net.run(main) == b"x" * 1_000_000
