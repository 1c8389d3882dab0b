"""What `ssl` does on sockets: cases that `test_kernel_tls` runs on the kernel and in a scenario."""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

from contexts import certificate, for_client, for_server
from kernel import ENDED, READABLE, SHORT, WRITABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel import Ground

TEXT: Final = re.compile(r" ?\(?_ssl\.c:?\d*\)?:? ?|<ssl\.SSLSocket.*>")
"""What differs in texts from one version, or one socket, to the next, and is left out."""


class Tls:
    """Both ends of a connection, wrapped, and what is done with them."""

    def __init__(
        self,
        ground: Ground,
        *,
        server: ssl.SSLContext | None = None,
        client: ssl.SSLContext | None = None,
        version: ssl.TLSVersion | None = None,
        name: str = "localhost",
        session: ssl.SSLSession | None = None,
        suppress: bool = True,
    ) -> None:
        self.ground = ground
        self.raw = ground.pair()
        server, client = server or for_server(), client or for_client()
        if version is not None:
            server.maximum_version = version
        for sock in self.raw[1:]:
            sock.setblocking(False)
            if ground.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        options: dict[str, Any] = {"do_handshake_on_connect": False, "suppress_ragged_eofs": suppress}
        # Any: what the stubs have against `read()` and `write()` is none of the kernel's business
        self.client: Any = client.wrap_socket(self.raw.client, server_hostname=name, session=session, **options)
        self.server: Any = server.wrap_socket(self.raw.accepted, server_side=True, **options)
        for one in (self.client, self.server):
            ground.keep(one)

    def outcome(self, call: Callable[[], object]) -> object:
        """What it returns; or the exception, with its text."""
        return outcome(self.ground, call)

    def shake(self) -> list[object]:
        """A handshake, step by step: what each call comes to."""
        seen: list[object] = []
        done: dict[Any, bool] = {self.client: False, self.server: False}
        for _ in range(8):
            for sock in done:
                if not done[sock]:
                    seen.append(self.outcome(sock.do_handshake))
                    done[sock] = seen[-1] is None
            if all(done.values()):
                break
            self.ground.settle(self.client if done[self.server] or len(seen) % 2 else self.server, WRITABLE)
        return seen

    def shaken(self) -> Tls:
        """The same, with its handshake made."""
        for _ in range(1000):
            if [self.outcome(sock.do_handshake) for sock in (self.client, self.server)] == [None, None]:
                return self
        raise AssertionError("no handshake")

    def read(self, sock: Any, size: int = 1024) -> Any:
        """What is read when it has come: that there is something need not mean that there is plain text."""
        while True:
            seen: Any = self.outcome(lambda: sock.recv(size))
            if next(iter(seen), None) != "SSLWantReadError":  # bytes, or an exception
                return seen
            self.ground.settle(sock, READABLE)


def outcome(ground: Ground, call: Callable[[], object]) -> object:
    """What a call returns; or the exception, with its text."""
    try:
        value: Any = call()
    except AssertionError:
        raise
    except Exception as error:
        reason: object = getattr(error, "reason", None)
        arguments: list[object] = [TEXT.sub("", one) if isinstance(one, str) else one for one in error.args]
        return (type(error).__name__, *arguments, reason)
    plain: bool = isinstance(value, (bytes, int, str, type(None)))
    return value if plain else type(value).__name__


# -- handshakes ------------------------------------------------------------------------------------


def handshake(ground: Ground) -> object:
    return Tls(ground).shake()


def handshake_of_1_2(ground: Ground) -> object:
    return Tls(ground, version=ssl.TLSVersion.TLSv1_2).shake()


def what_is_agreed(ground: Ground) -> object:
    tls = Tls(ground).shaken()
    found: list[object] = []
    for sock in (tls.client, tls.server):
        found += [sock.version(), sock.cipher(), sock.compression(), sock.selected_alpn_protocol(), sock.pending()]
        found += [sock.server_side, sock.server_hostname, sock.session_reused, len(sock.shared_ciphers() or ())]
        found += [isinstance(sock, ssl.SSLSocket), isinstance(sock, socket.socket), type(sock).__name__]
        found += [sock.getpeercert(True) is None, sock.getpeercert()]
        found += [type(sock.context).__name__, type(sock.session).__name__, sock.fileno() >= 0]
    return found


def what_is_agreed_by_1_2(ground: Ground) -> object:
    tls = Tls(ground, version=ssl.TLSVersion.TLSv1_2).shaken()
    return [
        tls.client.version(), tls.client.cipher(), len(tls.client.get_channel_binding("tls-unique") or b""),
        tls.client.get_channel_binding("tls-unique") == tls.server.get_channel_binding("tls-unique"),
    ]  # fmt: skip


def protocols(ground: Ground) -> object:
    server, client = for_server(), for_client()
    server.set_alpn_protocols(["h2", "http/1.1"])
    client.set_alpn_protocols(["http/1.1", "h2"])
    tls = Tls(ground, server=server, client=client).shaken()
    return tls.client.selected_alpn_protocol(), tls.server.selected_alpn_protocol()


def names_of_servers(ground: Ground) -> object:
    """Another context by the name that is asked for; the callback gets the socket itself."""
    asked: list[object] = []
    server, other = for_server(), for_server("other")

    def choose(sock: Any, name: str | None, context: ssl.SSLContext) -> None:
        asked.append((type(sock).__name__, name, context is server, sock.context is server))
        sock.context = other

    server.sni_callback = choose
    tls = Tls(ground, server=server, client=for_client("other"), name="other").shaken()
    subject: object = tls.client.getpeercert()["subject"]
    return asked, subject, tls.server.context is other


def name_that_is_refused(ground: Ground) -> object:
    server = for_server()
    server.sni_callback = lambda sock, name, context: ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    tls = Tls(ground, server=server)
    return tls.shake()[:4]


def wrong_name(ground: Ground) -> object:
    return Tls(ground, name="elsewhere").shake()[:5]


def nobody_trusts_it(ground: Ground) -> object:
    tls = Tls(ground, client=for_client("other"))
    seen = tls.shake()[:4]
    return seen, tls.read(tls.server)


def client_without_certificate(ground: Ground) -> object:
    server = for_server()
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(certificate())
    tls = Tls(ground, server=server)
    return tls.shake()[:5], tls.read(tls.client)


def client_with_certificate(ground: Ground) -> object:
    server, client = for_server(), for_client()
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(certificate())
    client.load_cert_chain(certificate())
    tls = Tls(ground, server=server, client=client).shaken()
    return tls.server.getpeercert()


def no_version_in_common(ground: Ground) -> object:
    client = for_client()
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    tls = Tls(ground, client=client, version=ssl.TLSVersion.TLSv1_2)
    return tls.shake()[:4]


def plain_text_for_a_server(ground: Ground) -> object:
    pair = ground.pair()
    pair.client.send(b"GET / HTTP/1.1\r\n\r\n")
    ground.settle(pair.accepted, READABLE)
    options: Any = {"server_side": True, "do_handshake_on_connect": True}
    return outcome(ground, lambda: for_server().wrap_socket(pair.accepted, **options))


def plain_text_for_a_client(ground: Ground) -> object:
    pair = ground.pair()
    pair.accepted.send(b"220 welcome\r\n")
    ground.settle(pair.client, READABLE)
    return outcome(ground, lambda: for_client().wrap_socket(pair.client, server_hostname="localhost"))


def end_in_the_handshake(ground: Ground) -> object:
    pair = ground.pair()
    pair.accepted.close()
    ground.settle(pair.client, ENDED)
    return outcome(ground, lambda: for_client().wrap_socket(pair.client, server_hostname="localhost"))


def reset_in_the_handshake(ground: Ground) -> object:
    pair = ground.pair()
    pair.client.send(b"x")
    ground.settle(pair.accepted, READABLE)
    pair.accepted.close()
    ground.settle(pair.client, ENDED)
    seen = outcome(ground, lambda: for_client().wrap_socket(pair.client, server_hostname="localhost"))
    return seen, pair.client.fileno()


def handshake_that_times_out(ground: Ground) -> object:
    pair = ground.pair()
    pair.client.settimeout(SHORT)
    return outcome(ground, lambda: for_client().wrap_socket(pair.client, server_hostname="localhost"))


def handshake_on_who_does_not_wait(ground: Ground) -> object:
    pair = ground.pair()
    pair.client.setblocking(False)
    return outcome(ground, lambda: for_client().wrap_socket(pair.client, server_hostname="localhost"))


def resumed(ground: Ground) -> object:
    server, client = for_server(), for_client()
    first = Tls(ground, server=server, client=client, version=ssl.TLSVersion.TLSv1_2).shaken()
    second = Tls(ground, server=server, client=client, session=first.client.session).shaken()
    return [
        first.client.session_reused, second.client.session_reused, second.server.session_reused,
        second.outcome(lambda: setattr(second.client, "session", first.client.session)),
    ]  # fmt: skip


def resumed_by_1_3(ground: Ground) -> object:
    server, client = for_server(), for_client()
    first = Tls(ground, server=server, client=client).shaken()
    first.server.send(b"x")
    ground.settle(first.client, READABLE)
    first.read(first.client)  # and the tickets before it
    second = Tls(ground, server=server, client=client, session=first.client.session).shaken()
    return second.client.session_reused, second.server.session_reused


def wrapped_wrongly(ground: Ground) -> object:
    server, client = for_server(), for_client()
    wraps: list[Callable[[socket.socket], object]] = [
        lambda sock: client.wrap_socket(sock),
        lambda sock: server.wrap_socket(sock, server_side=True, server_hostname="localhost"),
        lambda sock: server.wrap_socket(sock, server_hostname="localhost", do_handshake_on_connect=False),
        lambda sock: client.wrap_socket(sock, server_side=True, do_handshake_on_connect=False),
        lambda sock: client.wrap_socket(sock, server_hostname="", do_handshake_on_connect=False),
        lambda sock: client.wrap_socket(sock, server_hostname=".x", do_handshake_on_connect=False),
        lambda sock: client.wrap_socket(sock, server_hostname="a\0b", do_handshake_on_connect=False),
    ]
    return [outcome(ground, lambda wrap=wrap: wrap(ground.pair().client)) for wrap in wraps]  # type: ignore[misc]


def closed_and_wrapped(ground: Ground) -> object:
    sock = ground.socket()
    sock.close()
    return outcome(ground, lambda: for_client().wrap_socket(sock, server_hostname="localhost"))


def wrapped_when_both_have_ended(ground: Ground) -> object:
    pair = ground.pair()
    pair.client.shutdown(socket.SHUT_WR)
    pair.accepted.close()
    ground.settle(pair.client, ENDED)
    return outcome(ground, lambda: for_client().wrap_socket(pair.client, server_hostname="localhost"))


def wrapped_when_it_was_reset(ground: Ground) -> object:
    pair = ground.pair()
    pair.client.send(b"unread")
    ground.settle(pair.accepted, READABLE)
    pair.accepted.send(b"hello")
    pair.accepted.close()
    ground.settle(pair.client, ENDED)
    return outcome(ground, lambda: for_client().wrap_socket(pair.client, server_hostname="localhost"))


# -- the socket that was wrapped -------------------------------------------------------------------


def what_is_left_of_the_first(ground: Ground) -> object:
    pair = ground.pair()
    pair.client.settimeout(7)
    number = pair.client.fileno()
    wrapped: Any = ground.keep(
        for_client().wrap_socket(pair.client, server_hostname="localhost", do_handshake_on_connect=False)
    )
    calls: list[Callable[[], object]] = [
        pair.client.fileno, lambda: pair.client.recv(1), lambda: pair.client.send(b"x"), pair.client.close,
        lambda: repr(wrapped.getsockname() == pair.accepted.getpeername()), pair.client.getpeername,
    ]  # fmt: skip
    return [outcome(ground, call) for call in calls], wrapped.fileno() == number, wrapped.gettimeout()


def registered_before(ground: Ground) -> object:
    """What was registered is found, and unregistered, by its object; the new one has the number."""
    import selectors

    pair = ground.pair()
    selector = selectors.DefaultSelector()
    ground.after(selector.close)
    selector.register(pair.client, selectors.EVENT_READ)
    wrapped: Any = ground.keep(
        for_client().wrap_socket(pair.client, server_hostname="localhost", do_handshake_on_connect=False)
    )
    pair.accepted.send(b"x")
    ground.settle(wrapped, READABLE)
    found = [key.fileobj is pair.client for key, _ in selector.select(0)]
    known: Any = outcome(ground, lambda: selector.register(wrapped, selectors.EVENT_READ))
    key = outcome(ground, lambda: selector.get_key(wrapped))
    gone = outcome(ground, lambda: selector.unregister(pair.client))
    again = outcome(ground, lambda: selector.register(wrapped, selectors.EVENT_READ))
    return found, known[0], key, gone, again


def not_connected(ground: Ground) -> object:
    sock: Any = ground.keep(for_client().wrap_socket(ground.socket(), server_hostname="localhost"))
    calls: list[Callable[[], object]] = [
        lambda: sock.recv(1), lambda: sock.send(b"x"), lambda: sock.read(1), lambda: sock.write(b"x"), sock.pending,
        sock.do_handshake, sock.unwrap, sock.version, sock.cipher, sock.getpeercert, sock.gettimeout,
    ]  # fmt: skip
    return [outcome(ground, call) for call in calls]


def listener_that_is_wrapped(ground: Ground) -> object:
    listener = ground.listener()
    listener.setblocking(False)
    wrapped: Any = ground.keep(for_server().wrap_socket(listener, server_side=True, do_handshake_on_connect=False))
    client = ground.socket()
    seen = [outcome(ground, wrapped.accept), ground.ready(wrapped)]
    client.connect(wrapped.getsockname())
    ground.settle(wrapped, READABLE)
    accepted: Any = wrapped.accept()[0]
    ground.keep(accepted)
    calls: list[Callable[[], object]] = [
        lambda: type(accepted).__name__, lambda: accepted.server_side, accepted.gettimeout, wrapped.gettimeout,
        lambda: wrapped.recv(1), wrapped.unwrap,
    ]  # fmt: skip
    return seen + [outcome(ground, call) for call in calls]


def connected_when_wrapped(ground: Ground) -> object:
    listener, sock = ground.listener(), ground.socket()
    options: Any = {"do_handshake_on_connect": False}
    wrapped: Any = ground.keep(for_client().wrap_socket(sock, server_hostname="localhost", **options))
    seen = [outcome(ground, lambda: wrapped.connect(listener.getsockname()))]
    seen += [outcome(ground, lambda: wrapped.connect(listener.getsockname())), outcome(ground, wrapped.getpeercert)]
    wrapped.settimeout(SHORT)
    return [*seen, outcome(ground, wrapped.do_handshake), wrapped.pending()]


def kinds_of_its_own(ground: Ground) -> object:
    class Own(ssl.SSLSocket):
        def shout(self) -> str:
            return type(self).__name__

    client = for_client()
    client.sslsocket_class = Own
    tls = Tls(ground, client=client).shaken()
    return isinstance(tls.client, Own), tls.client.shout()


def calls_that_tls_has_not(ground: Ground) -> object:
    tls = Tls(ground).shaken()
    sock: Any = tls.client
    calls: list[Callable[[], object]] = [
        lambda: sock.recv(1, socket.MSG_PEEK), lambda: sock.send(b"x", socket.MSG_DONTWAIT),
        lambda: sock.sendall(b"x", 1), lambda: sock.recv_into(bytearray(1), 1, 1), lambda: sock.sendto(b"x", ("", 1)),
        lambda: sock.recvfrom(1), lambda: sock.recvfrom_into(bytearray(1)), lambda: sock.sendmsg([b"x"]),
        lambda: sock.recvmsg(1), lambda: sock.recvmsg_into([bytearray(1)]), sock.dup, ssl.SSLSocket,
        lambda: sock.connect(("127.0.0.1", 1)), lambda: sock.get_channel_binding("nonsense"),
    ]  # fmt: skip
    return [outcome(ground, call) for call in calls]


# -- reading and writing ---------------------------------------------------------------------------


def there_and_back(ground: Ground) -> object:
    tls = Tls(ground).shaken()
    seen: list[Any] = [tls.outcome(lambda: tls.server.recv(1)), tls.server.send(b"hello"), tls.client.send(b"")]
    ground.settle(tls.client, READABLE)
    seen += [tls.read(tls.client, 2), tls.client.pending(), tls.read(tls.client, 2), tls.read(tls.client, 2)]
    seen += [tls.client.pending(), tls.outcome(lambda: tls.client.recv(1)), tls.outcome(lambda: tls.client.recv(0))]
    return seen


def readable_while_it_is_pending(ground: Ground) -> object:
    tls = Tls(ground, version=ssl.TLSVersion.TLSv1_2).shaken()
    tls.server.send(b"hello")
    ground.settle(tls.client, READABLE)
    seen = tls.client.recv(1)
    return seen, tls.client.pending(), ground.ready(tls.client)


def records_one_by_one(ground: Ground) -> object:
    """Two records: a read takes the first, and the second is in the kernel."""
    tls = Tls(ground, version=ssl.TLSVersion.TLSv1_2).shaken()
    tls.server.send(b"one")
    tls.server.send(b"two")
    ground.settle(tls.client, READABLE)
    seen = [tls.read(tls.client), tls.client.pending(), ground.ready_like(tls.client, None)]
    return [*seen, tls.read(tls.client), ground.ready_like(tls.client, None)]


def into_buffers(ground: Ground) -> object:
    tls = Tls(ground).shaken()
    tls.server.send(b"0123456789" * 3)
    ground.settle(tls.client, READABLE)
    first, second, third = bytearray(4), bytearray(4), bytearray()
    seen, sock = tls.read(tls.client, 1), tls.client
    sizes = [sock.recv_into(first), sock.recv_into(second, 2), sock.read(3, bytearray(5))]
    calls: list[Callable[[], object]] = [
        lambda: sock.recv_into(third), lambda: sock.recv_into(first, 9), lambda: sock.recv_into(first, -1),
        lambda: sock.read(-1), lambda: sock.recv(-1), lambda: sock.recv(100),
    ]  # fmt: skip
    return seen, sizes, bytes(first), bytes(second), [tls.outcome(call) for call in calls]


def much_at_once(ground: Ground) -> object:
    tls = Tls(ground, version=ssl.TLSVersion.TLSv1_2).shaken()
    data = os.urandom(40_000)
    sent = tls.server.send(data)
    parts: list[bytes] = []
    while sum(map(len, parts)) < sent:
        part = tls.read(tls.client, 1 << 20)
        parts.append(part)
    return sent, [len(part) for part in parts], b"".join(parts) == data


def by_sendall_and_files(ground: Ground) -> object:
    tls = Tls(ground).shaken()
    tls.server.settimeout(5)
    tls.server.sendall(memoryview(b"line one\nline two\n"))
    with tls.server.makefile("wb", buffering=0) as file:
        file.write(b"three\n")
    tls.server.shutdown(socket.SHUT_WR)
    ground.settle(tls.client, ENDED)
    tls.client.settimeout(5)
    with tls.client.makefile("rb") as file:
        return file.readlines(), tls.client.pending()


def file_by_sendfile(ground: Ground) -> object:
    from kernel import temporary_file

    tls = Tls(ground).shaken()
    with temporary_file(b"0123456789") as file:
        seen = [tls.outcome(lambda: tls.server.sendfile(file, 2, 5))]
        tls.server.settimeout(5)
        seen += [tls.outcome(lambda: tls.server.sendfile(file, 2, 5)), file.tell()]
    ground.settle(tls.client, READABLE)
    return [*seen, tls.read(tls.client)]


def read_that_times_out(ground: Ground) -> object:
    tls = Tls(ground).shaken()
    tls.client.settimeout(SHORT)
    return [tls.outcome(lambda: tls.client.recv(1)), tls.outcome(tls.client.unwrap)]


def no_room(ground: Ground) -> object:
    """Nobody reads: it wants to write, and wants the same again; a shorter one is not that."""
    tls = Tls(ground).shaken()
    data = b"x" * 16384
    seen = set[object]()
    while not seen:
        result = tls.outcome(lambda: tls.server.send(data))
        if result != len(data):
            seen.add(result)
    kinds = [ground.ready(tls.server) & 2, tls.outcome(lambda: tls.server.send(data))]
    return seen, kinds, tls.outcome(lambda: tls.server.send(b"short"))


def alert_without_room(ground: Ground) -> object:
    """What comes is no TLS, and nothing can be said of that, as nobody reads."""
    tls = Tls(ground).shaken()
    while tls.outcome(lambda: tls.server.send(b"x" * 16384)) == 16384:
        pass
    plain = ground.keep(socket.socket(fileno=tls.client.detach()))
    plain.send(b"no TLS" * 9)
    ground.settle(tls.server, READABLE)
    return [tls.outcome(lambda: tls.server.recv(1)), tls.outcome(lambda: tls.server.recv(1))]


def write_that_times_out(ground: Ground) -> object:
    tls = Tls(ground).shaken()
    tls.server.settimeout(SHORT)
    data = b"x" * 16384
    seen: list[object] = []
    while not seen:
        result = tls.outcome(lambda: tls.server.send(data))
        if result != len(data):
            seen.append(result)
    return [*seen, tls.outcome(lambda: tls.server.send(data)), tls.outcome(lambda: tls.server.send(b"short"))]


def room_again(ground: Ground) -> object:
    """The rest of what was begun goes out with the next attempt, which may be a longer one."""
    tls = Tls(ground).shaken()
    data = b"y" * 16384
    sent = 0
    while tls.outcome(lambda: tls.server.send(data)) == len(data):
        sent += len(data)
    got = 0
    while got < sent:
        part = tls.read(tls.client, 1 << 16)
        got += len(part)
    ground.settle(tls.server, WRITABLE)
    more = tls.server.send(data + b"more")
    sent += more
    part = b""
    while got < sent:
        part = tls.read(tls.client, 1 << 16)
        got += len(part)
    return more, part[-4:], got == sent


# -- ends ------------------------------------------------------------------------------------------


def ended_in_good_order(ground: Ground) -> object:
    tls = Tls(ground).shaken()
    tls.server.send(b"last words")
    seen = [tls.outcome(tls.server.unwrap)]
    ground.settle(tls.client, READABLE)
    seen += [tls.read(tls.client), tls.read(tls.client), tls.read(tls.client)]
    seen += [tls.outcome(lambda: tls.client.send(b"more")), tls.outcome(tls.client.unwrap)]
    return [*seen, tls.outcome(lambda: tls.client.recv(1)), tls.outcome(lambda: tls.client.read(1))]


def both_unwrap(ground: Ground) -> object:
    """After which plain text is spoken."""
    tls = Tls(ground, version=ssl.TLSVersion.TLSv1_2).shaken()
    seen: list[object] = [tls.outcome(tls.client.unwrap)]
    ground.settle(tls.server, READABLE)
    seen += [tls.outcome(tls.server.unwrap)]
    tls.server.send(b"plain")
    ground.settle(tls.client, READABLE)
    seen += [tls.outcome(tls.client.unwrap), tls.outcome(lambda: tls.client.recv(100)), tls.client.version()]
    return [*seen, tls.outcome(tls.client.unwrap), tls.outcome(tls.client.pending)]


def unwrap_with_data_on_its_way(ground: Ground) -> object:
    tls = Tls(ground).shaken()
    tls.server.send(b"data")
    ground.settle(tls.client, READABLE)
    seen = [tls.outcome(tls.client.unwrap), tls.outcome(tls.client.unwrap)]
    return seen[0], isinstance(seen[1], tuple)


def ragged_end(ground: Ground) -> object:
    tls = Tls(ground).shaken()
    tls.server.shutdown(socket.SHUT_WR)
    ground.settle(tls.client, ENDED)
    return tls.read(tls.client), tls.read(tls.client), tls.outcome(lambda: tls.client.send(b"x"))


def ragged_end_that_is_told(ground: Ground) -> object:
    tls = Tls(ground, suppress=False).shaken()
    tls.server.shutdown(socket.SHUT_WR)
    ground.settle(tls.client, ENDED)
    return tls.read(tls.client), tls.read(tls.client)


def ragged_end_of_unwrap(ground: Ground) -> object:
    tls = Tls(ground).shaken()
    tls.server.shutdown(socket.SHUT_WR)
    ground.settle(tls.client, ENDED)
    return tls.outcome(tls.client.unwrap)


def ragged_end_of_an_old_error(ground: Ground) -> object:
    """What libc remembers is the error of another call, and OpenSSL looks there."""
    tls = Tls(ground, version=ssl.TLSVersion.TLSv1_2).shaken()
    tls.server.shutdown(socket.SHUT_WR)
    ground.settle(tls.client, ENDED)
    outcome(ground, lambda: os.close(999_999))
    seen = [tls.read(tls.client)]
    outcome(ground, lambda: os.close(999_999))
    return [*seen, tls.outcome(lambda: tls.client.recv(1))]


def reset(ground: Ground) -> object:
    tls = Tls(ground, version=ssl.TLSVersion.TLSv1_2).shaken()
    tls.client.send(b"unread")
    ground.settle(tls.server, READABLE)
    tls.server.close()
    ground.settle(tls.client, ENDED)
    return tls.outcome(lambda: tls.client.recv(1)), tls.outcome(lambda: tls.client.recv(1))


def reset_that_a_write_meets(ground: Ground) -> object:
    tls = Tls(ground, version=ssl.TLSVersion.TLSv1_2, suppress=False).shaken()
    tls.client.send(b"unread")
    ground.settle(tls.server, READABLE)
    tls.server.close()
    ground.settle(tls.client, ENDED)
    return tls.outcome(lambda: tls.client.send(b"x"))


def nobody_reads_the_tickets(ground: Ground) -> object:
    """Of TLS 1.3: whoever closes without having read them resets the connection."""
    tls = Tls(ground, suppress=False).shaken()
    tls.server.send(b"hello")
    ground.settle(tls.client, READABLE)
    tls.client.close()
    ground.settle(tls.server, ENDED)
    return tls.outcome(lambda: tls.server.recv(1))


def closed_here(ground: Ground) -> object:
    tls = Tls(ground).shaken()
    sock = tls.client
    sock.close()
    calls: list[Callable[[], object]] = [
        lambda: sock.recv(1), lambda: sock.send(b"x"), lambda: sock.read(1), lambda: sock.write(b"x"), sock.pending,
        sock.do_handshake, sock.unwrap, sock.version, sock.cipher, sock.fileno, sock.close,
    ]  # fmt: skip
    return [outcome(ground, call) for call in calls]


def file_that_outlives_it(ground: Ground) -> object:
    tls = Tls(ground).shaken()
    tls.server.send(b"hello")
    ground.settle(tls.client, READABLE)
    tls.client.settimeout(5)
    file = tls.client.makefile("rb")
    tls.client.close()
    seen = [file.read(5), tls.client.fileno() >= 0]
    file.close()
    return [*seen, tls.client.fileno()]


def shut_down_here(ground: Ground) -> object:
    """`shutdown()` lets go of TLS, and says nothing of that."""
    tls = Tls(ground, version=ssl.TLSVersion.TLSv1_2).shaken()
    tls.client.shutdown(socket.SHUT_WR)
    ground.settle(tls.server, ENDED)
    seen = [tls.read(tls.server), tls.outcome(lambda: tls.server.send(b"answer")), tls.client.version()]
    ground.settle(tls.client, READABLE)
    return [*seen, type(tls.outcome(lambda: tls.client.recv(1))), tls.outcome(lambda: tls.client.send(b"x"))]


def file_over_what_is_plain_again(ground: Ground) -> object:
    """A file that was made over TLS reads on when there is none any more."""
    tls = Tls(ground, version=ssl.TLSVersion.TLSv1_2).shaken()
    file = tls.client.makefile("rb")
    ground.after(file.close)
    for sock in (tls.client, tls.server):
        sock.settimeout(5)
    tls.outcome(lambda: (tls.server.setblocking(False), tls.server.unwrap()))
    tls.server.settimeout(5)
    plain: Any = tls.client.unwrap()
    tls.server.unwrap()
    tls.server.send(b"plain text")
    ground.settle(plain, READABLE)
    return tls.outcome(lambda: file.read(5)), tls.outcome(lambda: plain.recv(100))


def detached(ground: Ground) -> object:
    tls = Tls(ground).shaken()
    number = tls.client.detach()
    again = ground.keep(socket.socket(fileno=number))
    tls.server.send(b"hello")
    ground.settle(again, READABLE)
    return isinstance(again, ssl.SSLSocket), again.recv(1), tls.client.fileno(), tls.outcome(tls.client.pending)


def context_manager(ground: Ground) -> object:
    tls = Tls(ground).shaken()
    with tls.client as sock:
        number = sock.fileno()
    return number >= 0, sock.fileno(), sock.version()


CASES: Final[list[Callable[[Ground], object]]] = [
    handshake, handshake_of_1_2, what_is_agreed, what_is_agreed_by_1_2, protocols, names_of_servers,
    name_that_is_refused, wrong_name, nobody_trusts_it, client_without_certificate, client_with_certificate,
    no_version_in_common, plain_text_for_a_server, plain_text_for_a_client, end_in_the_handshake,
    reset_in_the_handshake, handshake_that_times_out, handshake_on_who_does_not_wait, resumed, resumed_by_1_3,
    wrapped_wrongly, closed_and_wrapped, wrapped_when_both_have_ended, wrapped_when_it_was_reset,
    what_is_left_of_the_first, registered_before, not_connected, listener_that_is_wrapped, connected_when_wrapped,
    kinds_of_its_own, calls_that_tls_has_not, there_and_back, readable_while_it_is_pending, records_one_by_one,
    into_buffers, much_at_once, by_sendall_and_files, file_by_sendfile, read_that_times_out, no_room,
    alert_without_room, write_that_times_out, room_again, ended_in_good_order, both_unwrap,
    unwrap_with_data_on_its_way, ragged_end, ragged_end_that_is_told, ragged_end_of_unwrap,
    ragged_end_of_an_old_error, reset, reset_that_a_write_meets, nobody_reads_the_tickets, closed_here,
    file_that_outlives_it, shut_down_here, file_over_what_is_plain_again, detached, context_manager,
]  # fmt: skip
