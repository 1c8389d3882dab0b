"""Selectors in a scenario: what the real ones say of real sockets, ours say of simulated ones."""

from __future__ import annotations

import errno
import os
import re
import selectors
import signal
import socket
import struct
import time
from contextlib import ExitStack, contextmanager
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from typing import TYPE_CHECKING, Any

import pytest

from mockselector import Scenario, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mockselector import RuleId

ENDS: tuple[RuleId, ...] = (
    "accepted-not-registered", "closed-still-registered", "leaked-connection", "unaccepted-connection", "unread-data",
)  # fmt: skip
BOTH = EVENT_READ | EVENT_WRITE
CLASSES = [name for name in dir(selectors) if name.endswith("Selector") and name[0] not in "_B"]


@contextmanager
def scenario(*allow: RuleId) -> Generator[Scenario]:
    """A scenario whose selectors the test itself asks, as the server would; what is left over is not its subject."""
    with Scenario(allow=[*ENDS, *allow]) as net, net.installed():
        yield net


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a TCP connection: over loopback, or, in a scenario, simulated."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far = listener.accept()[0]
    near.setblocking(False)
    far.setblocking(False)
    return near, far


def readiness(sock: socket.socket) -> int:
    with selectors.DefaultSelector() as selector:
        selector.register(sock, BOTH)
        ready = selector.select(0)
        selector.unregister(sock)
    return ready[0][1] if ready else 0


# -- as the real ones: readiness over loopback ----------------------------------------------------


def unconnected() -> list[int]:
    with socket.socket() as sock:
        return [readiness(sock)]


def listening() -> list[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        before = readiness(listener)
        with socket.create_connection(listener.getsockname()):
            during = readiness(listener)
            listener.accept()[0].close()
            return [before, during, readiness(listener)]


def data() -> list[int]:
    near, far = pair()
    with near, far:
        far.send(b"hi")
        told = [readiness(near)]
        near.recv(1)
        told.append(readiness(near))
        near.recv(1)
        return [*told, readiness(near)]


def half_closed() -> list[int]:
    near, far = pair()
    with near, far:
        far.shutdown(socket.SHUT_WR)
        told = [readiness(near), readiness(far)]
        near.recv(1)
        return [*told, readiness(near)]


def both_half_closed() -> list[int]:
    near, far = pair()
    with near, far:
        far.shutdown(socket.SHUT_WR)
        near.shutdown(socket.SHUT_WR)
        return [readiness(near), readiness(far)]


def shut_for_reading() -> list[int]:
    near, far = pair()
    with near, far:
        near.shutdown(socket.SHUT_RD)
        return [readiness(near), readiness(far)]


def closed_by_its_peer() -> list[int]:
    near, far = pair()
    with near:
        far.close()
        return [readiness(near)]


def reset() -> list[int]:
    near, far = pair()
    with near:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        told = [readiness(near)]
        with pytest.raises(ConnectionResetError, match="reset"):
            near.recv(1)
        return [*told, readiness(near)]


def full() -> list[int]:
    near, far = pair()
    with near, far:
        with pytest.raises(BlockingIOError, match="unavailable"):
            while True:
                near.send(bytes(1 << 16))
        told = [readiness(near), readiness(far)]
        with pytest.raises(BlockingIOError, match="unavailable"):
            while True:
                far.recv(1 << 20)
        return [*told, readiness(near), readiness(far)]


@pytest.mark.parametrize(
    "conversation",
    [
        unconnected,
        listening,
        data,
        half_closed,
        both_half_closed,
        shut_for_reading,
        closed_by_its_peer,
        reset,
        full,
    ],
    ids=lambda conversation: conversation.__name__.replace("_", "-"),
)
def test_readiness_is_what_the_kernel_says(conversation: Callable[[], list[int]]) -> None:
    real = conversation()
    with scenario("short-send-lost", "busy-loop"):
        assert real == conversation()


def outcomes(*calls: Callable[[], object]) -> list[object]:
    """What each call returns, or how the OSError that it raises is called."""

    def outcome(call: Callable[[], object]) -> object:
        try:
            return call()
        except OSError as error:
            return errno.errorcode[error.errno or 0]

    return [outcome(call) for call in calls]


def closed_with_unread_data() -> list[object]:
    near, far = pair()
    with near:
        near.send(b"request")
        far.close()
        return outcomes(
            lambda: near.recv(9), lambda: near.recv(9), lambda: near.send(b"x"), lambda: near.shutdown(socket.SHUT_WR)
        )


def written_after_the_end() -> list[object]:
    near, far = pair()
    with near:
        far.close()
        return outcomes(
            *[lambda: near.send(b"x")] * 2,
            lambda: near.recv(9),
            lambda: near.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR),
        )


def shut_for_both() -> list[object]:
    near, far = pair()
    with near, far:
        far.send(b"hi")
        near.shutdown(socket.SHUT_RDWR)
        return outcomes(
            lambda: near.recv(9),
            lambda: near.recv(9),
            lambda: near.getpeername() == far.getsockname(),
            lambda: near.shutdown(socket.SHUT_RDWR),
            lambda: far.send(b"x"),
            lambda: far.send(b"x"),
        )


@pytest.mark.parametrize(
    "conversation",
    [closed_with_unread_data, written_after_the_end, shut_for_both],
    ids=lambda conversation: conversation.__name__.replace("_", "-"),
)
def test_calls_come_to_what_the_kernel_says(conversation: Callable[[], list[object]]) -> None:
    real = conversation()
    with scenario():
        assert real == conversation()


# -- as the real ones: registration ---------------------------------------------------------------


def some_pair(simulated: bool) -> tuple[socket.socket, socket.socket]:
    return pair() if simulated else socket.socketpair()


def closed_socket() -> socket.socket:
    sock = socket.socket()
    sock.close()
    return sock


def registered(selector: selectors.BaseSelector, sock: socket.socket) -> socket.socket:
    selector.register(sock, EVENT_READ, "data")
    return sock


def selector_closed(selector: selectors.BaseSelector) -> selectors.BaseSelector:
    selector.close()
    return selector


TRIES: dict[str, Callable[[Any, Any], object]] = {
    "register twice": lambda sel, sock: sel.register(registered(sel, sock), EVENT_READ),
    "register twice, by its number": lambda sel, sock: sel.register(registered(sel, sock).fileno(), EVENT_READ),
    "register for nothing": lambda sel, sock: sel.register(sock, 0),
    "register for what does not exist": lambda sel, sock: sel.register(sock, 8),
    "register no socket": lambda sel, sock: sel.register("no socket", EVENT_READ),
    "register None": lambda sel, sock: sel.register(None, EVENT_READ),
    "register a negative number": lambda sel, sock: sel.register(-1, EVENT_READ),
    "register a closed socket": lambda sel, sock: sel.register(closed_socket(), EVENT_READ),
    "unregister what is not": lambda sel, sock: sel.unregister(sock),
    "unregister a closed socket that is not": lambda sel, sock: sel.unregister(closed_socket()),
    "modify a closed socket that is not": lambda sel, sock: (
        [registered(sel, sock), sel.modify(closed_socket(), EVENT_READ)]
    ),
    "modify what is not": lambda sel, sock: sel.modify(sock, EVENT_READ),
    "get the key of what is not": lambda sel, sock: sel.get_key(sock),
    "look up what is not": lambda sel, sock: sel.get_map()[sock],
    "register, closed": lambda sel, sock: selector_closed(sel).register(sock, EVENT_READ),
    "unregister, closed": lambda sel, sock: selector_closed(sel).unregister(sock),
    "modify, closed": lambda sel, sock: selector_closed(sel).modify(sock, EVENT_READ),
    "get a key, closed": lambda sel, sock: selector_closed(sel).get_key(sock),
    "select, closed": lambda sel, sock: selector_closed(sel).select(0),
    "the map, closed": lambda sel, sock: selector_closed(sel).get_map(),
    "close twice": lambda sel, sock: selector_closed(sel).close(),
    "unregister after a close": lambda sel, sock: after_close(sel, sock).unregister(sock)[2:],
    "get the key after a close": lambda sel, sock: after_close(sel, sock).get_key(sock)[2:],
    "modify after a close": lambda sel, sock: after_close(sel, sock).modify(sock, EVENT_WRITE),
    "modify nothing after a close": lambda sel, sock: after_close(sel, sock).modify(sock, EVENT_READ)[2:],
    "the map after a close": lambda sel, sock: len(after_close(sel, sock).get_map()),
    "modify": lambda sel, sock: sel.modify(registered(sel, sock), BOTH)[2:],
    "modify nothing but the data": lambda sel, sock: sel.modify(registered(sel, sock), EVENT_READ, "more")[2:],
    "modify to nothing": lambda sel, sock: sel.modify(registered(sel, sock), 0)[2:],
    "key": lambda sel, sock: sel.get_key(registered(sel, sock))[2:],
    "key by number": lambda sel, sock: sel.get_key(registered(sel, sock).fileno())[2:],
    "the map": lambda sel, sock: [key == sock.fileno() for key in map_with(sel, sock)],
    "the map's length": lambda sel, sock: len(map_with(sel, sock)),
    "in the map": lambda sel, sock: (sock in map_with(sel, sock), sock.fileno() in sel.get_map(), 3 in sel.get_map()),
    "the map by object": lambda sel, sock: map_with(sel, sock)[sock][2:],
    "select a while": lambda sel, sock: sel.select(0.001),
    "select no time": lambda sel, sock: sel.select(-1),
    "left by with": lambda sel, sock: left(sel, sock).get_map(),
}


def after_close(selector: selectors.BaseSelector, sock: socket.socket) -> selectors.BaseSelector:
    registered(selector, sock).close()
    return selector


def map_with(selector: selectors.BaseSelector, sock: socket.socket) -> Any:
    registered(selector, sock)
    return selector.get_map()


def left(selector: selectors.BaseSelector, sock: socket.socket) -> selectors.BaseSelector:
    with selector:
        registered(selector, sock)
    return selector


def tried(attempt: Callable[[Any, Any], object], *, simulated: bool) -> object:
    near, far = some_pair(simulated)
    with near, far, selectors.DefaultSelector() as selector:
        try:
            return attempt(selector, near)
        except Exception as error:
            text = re.sub(r"<socket.*?>|\b\d+\b", "#", str(error))
            return type(error), re.sub("#.*# ", "# ", text).strip("'\"")


@pytest.mark.parametrize("attempt", TRIES.values(), ids=TRIES)
def test_registration_comes_to_what_the_standard_library_says(attempt: Callable[[Any, Any], object]) -> None:
    real = tried(attempt, simulated=False)
    with scenario():
        assert real == tried(attempt, simulated=True)


# -- registration -----------------------------------------------------------------------------------


class Wrapper:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def fileno(self) -> int:
        return self.sock.fileno()


WRAPS: dict[str, Callable[[socket.socket], object]] = {
    "object": lambda sock: sock,
    "number": lambda sock: sock.fileno(),
    "wrapper": Wrapper,
}
standing_for = pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)


@standing_for
def test_the_key_has_what_was_registered(wrap: Callable[[socket.socket], Any]) -> None:
    with scenario():
        near, far = pair()
        thing = wrap(near)
        selector = selectors.DefaultSelector()
        key = selector.register(thing, EVENT_READ, "data")
        far.send(b"x")
        assert (thing, near.fileno(), EVENT_READ, "data") == key
        assert selector.select() == [(key, EVENT_READ)]


@standing_for
def test_a_socket_is_unregistered_by_whatever_stands_for_it(wrap: Callable[[socket.socket], Any]) -> None:
    with scenario() as net:
        near, _far = pair()
        selector = selectors.DefaultSelector()
        selector.register(near, EVENT_READ)
        selector.unregister(wrap(near))
        assert len(selector.get_map()) == 0
        assert str(net.trace[-1]) == "unregister(connection)"


def test_an_event_is_told_until_it_is_dealt_with() -> None:
    with scenario():
        near, far = pair()
        selector = selectors.DefaultSelector()
        selector.register(near, EVENT_READ)
        far.send(b"x")
        assert [1, 1, 1] == [len(selector.select(0)) for _ in range(3)]
        near.recv(1)
        assert selector.select(0) == []


def test_only_what_is_asked_for_is_told() -> None:
    with scenario():
        near, far = pair()
        selector = selectors.DefaultSelector()
        key = selector.register(near, EVENT_WRITE)
        far.send(b"x")
        told = [selector.select(0)[0][1]]
        for mask in (BOTH, EVENT_READ):
            selector.modify(key.fileobj, mask)
            told.append(selector.select(0)[0][1])
        assert told == [EVENT_WRITE, BOTH, EVENT_READ]


def test_nothing_is_told_while_the_mask_is_0() -> None:
    with scenario():
        near, far = pair()
        far.send(b"x")
        selector = selectors.DefaultSelector()
        selector.register(near, EVENT_READ)
        selector.modify(near, 0)
        assert selector.select(0) == []
        selector.modify(near, EVENT_READ)
        assert len(selector.select(0)) == 1


def test_several_selectors_watch_one_socket_each_for_its_own() -> None:
    with scenario() as net:
        near, far = pair()
        reading, writing = selectors.DefaultSelector(), selectors.DefaultSelector()
        reading.register(near, EVENT_READ)
        writing.register(near, EVENT_WRITE)
        assert [0, 1] == [len(selector.select(0)) for selector in (reading, writing)]
        far.send(b"x")
        writing.close()
        assert len(reading.select(0)) == 1
        assert str(net.trace[-1]) == "select() -> connection READ"


def test_a_second_selector_is_named_in_the_trace() -> None:
    with scenario() as net:
        for _ in range(2):
            selectors.DefaultSelector().select(0)
        assert [str(row) for row in net.trace] == ["select() -> nothing", "selector 2.select() -> nothing"]


def test_events_come_in_the_order_in_which_they_arrived() -> None:
    with scenario():
        first, second = pair(), pair()
        selector = selectors.DefaultSelector()
        for near, _ in (first, second):
            selector.register(near, EVENT_READ)
        assert selector.select(0) == []
        second[1].send(b"x")
        first[1].send(b"x")
        assert [second[0], first[0]] == [key.fileobj for key, _ in selector.select(0)]


def test_time_passes_while_select_waits() -> None:
    with scenario() as net:
        assert selectors.DefaultSelector().select(2.5) == []
        assert net.now == 2.5


def test_a_selector_cannot_be_watched_itself() -> None:
    with scenario() as net:
        with pytest.raises(NotImplementedError, match=r"^fileno\(\) of a selector is not simulated"):
            selectors.EpollSelector().fileno()
        net._world.monitor.violation = None


def test_closing_a_selector_leaves_its_sockets_to_the_others() -> None:
    with scenario():
        near, far = pair()
        first, second = selectors.DefaultSelector(), selectors.DefaultSelector()
        for selector in (first, second):
            selector.register(near, EVENT_READ)
        first.close()
        far.send(b"x")
        assert len(second.select(0)) == 1


# -- closed, and its number given to another --------------------------------------------------------


def reused() -> tuple[selectors.BaseSelector, socket.socket, socket.socket]:
    """A selector with a socket that was closed while it was registered, and the next, which has its number."""
    near, _far = pair()
    selector = selectors.DefaultSelector()
    selector.register(near, EVENT_READ)
    with socket.socket():  # takes the number of the listener
        number = near.fileno()
        near.close()
        other = socket.socket()
    assert other.fileno() == number
    return selector, near, other


def test_a_socket_with_the_number_of_one_that_was_not_unregistered_cannot_be_registered() -> None:
    with scenario():
        selector, _, other = reused()
        with pytest.raises(KeyError, match=r"\(FD \d+\) is already registered"):
            selector.register(other, EVENT_READ)


def test_its_key_is_that_of_the_closed_one() -> None:
    with scenario():
        selector, closed, other = reused()
        assert closed is selector.get_key(other).fileobj


def test_it_is_not_watched() -> None:
    with scenario():
        selector, _, other = reused()
        other.bind(("127.0.0.1", 8888))
        other.listen()
        keep = socket.create_connection(("127.0.0.1", 8888))
        assert selector.select(0) == []
        keep.close()


def test_its_mask_cannot_be_modified() -> None:
    with scenario():
        selector, _, other = reused()
        with pytest.raises(OSError, match="Bad file descriptor|No such file") as caught:
            selector.modify(other, EVENT_WRITE)
        assert caught.value.errno in (errno.EBADF, errno.ENOENT)


def test_it_can_be_registered_once_the_closed_one_is_not() -> None:
    with scenario():
        selector, closed, other = reused()
        selector.unregister(closed)
        assert selector.register(other, EVENT_READ).fileobj is other


def test_a_number_that_stands_for_nothing_cannot_be_registered() -> None:
    with scenario():
        selector = selectors.DefaultSelector()
        with pytest.raises(OSError, match="Bad file descriptor"):
            selector.register(2**30 + 7, EVENT_READ)
        assert len(selector.get_map()) == 0


# -- real descriptors -------------------------------------------------------------------------------


@contextmanager
def pipe() -> Generator[tuple[int, int]]:
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def test_a_pipe_is_watched_beside_a_simulated_socket() -> None:
    with scenario(), pipe() as (reader, writer):
        near, far = pair()
        selector = selectors.DefaultSelector()
        selector.register(reader, EVENT_READ, "pipe")
        selector.register(near, EVENT_READ, "socket")
        os.write(writer, b"x")
        far.send(b"x")
        assert [key.data for key, _ in selector.select()] == ["socket", "pipe"]


def test_a_real_pair_of_sockets_is_watched() -> None:
    near, far = socket.socketpair()
    with near, far, scenario():
        selector = selectors.DefaultSelector()
        selector.register(near, EVENT_READ)
        assert selector.select(0) == []
        far.send(b"x")
        assert [key.fileobj for key, _ in selector.select(0)] == [near]
        selector.close()


def test_a_pair_of_sockets_made_in_a_scenario_is_a_real_one() -> None:
    with scenario():
        near, far = socket.socketpair()
        with near, far:
            far.send(b"x")
            assert near.recv(9) == b"x"
            assert near.fileno() < 2**30


def test_a_pipe_is_modified_to_nothing_and_back() -> None:
    with scenario(), pipe() as (reader, writer):
        selector = selectors.DefaultSelector()
        selector.register(reader, EVENT_READ)
        os.write(writer, b"x")
        told: list[int] = []
        for mask in (0, EVENT_READ):
            selector.modify(reader, mask)
            told.append(len(selector.select(0)))
        assert told == [0, 1]


def test_a_pipe_whose_mask_is_0_can_be_unregistered() -> None:
    with scenario(), pipe() as (reader, _):
        selector = selectors.DefaultSelector()
        selector.register(reader, EVENT_READ)
        selector.modify(reader, 0)
        assert selector.unregister(reader).fd == reader


def test_a_pipe_is_modified_in_place() -> None:
    with scenario(), pipe() as (_, writer):
        selector = selectors.DefaultSelector()
        selector.register(writer, EVENT_READ)
        selector.modify(writer, EVENT_WRITE)
        assert [mask for _, mask in selector.select(0)] == [EVENT_WRITE]


def test_a_pipe_is_unregistered() -> None:
    with scenario(), pipe() as (reader, writer):
        selector = selectors.DefaultSelector()
        selector.register(reader, EVENT_READ)
        os.write(writer, b"x")
        selector.unregister(reader)
        assert selector.select(0) == []


def test_a_real_number_that_stands_for_nothing_is_refused_as_the_kernel_does() -> None:
    with pipe() as (reader, _):
        number = os.dup(reader)
    os.close(number)
    with scenario():
        selector = selectors.DefaultSelector()
        with pytest.raises(OSError, match="Bad file descriptor"):
            selector.register(number, EVENT_READ)
        assert len(selector.get_map()) == 0


def ignored(number: int, frame: object) -> None:
    """A handler, without which a signal would end the process."""


def test_a_signal_is_told_through_a_real_pair_of_sockets() -> None:
    near, far = socket.socketpair()
    with near, far, scenario():
        far.setblocking(False)
        before_handler = signal.signal(signal.SIGUSR1, ignored)
        before = signal.set_wakeup_fd(far.fileno())
        try:
            selector = selectors.DefaultSelector()
            selector.register(near, EVENT_READ)
            os.kill(os.getpid(), signal.SIGUSR1)
            assert [key.fileobj for key, _ in selector.select(1)] == [near]
            assert near.recv(9) == bytes([signal.SIGUSR1])
        finally:
            signal.set_wakeup_fd(before)
            signal.signal(signal.SIGUSR1, before_handler)


# -- the classes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLASSES)
def test_every_class_makes_a_selector_of_the_scenario(name: str) -> None:
    with scenario():
        near, far = pair()
        selector = getattr(selectors, name)()
        selector.register(near, EVENT_READ)
        far.send(b"x")
        assert [mask for _, mask in selector.select()] == [EVENT_READ]


@pytest.mark.parametrize("name", CLASSES)
def test_what_a_class_makes_is_one_of_its_own(name: str) -> None:
    with scenario():
        kind = getattr(selectors, name)
        assert isinstance(kind(), kind)
        assert isinstance(kind(), selectors.BaseSelector)


@pytest.mark.parametrize("name", CLASSES)
def test_a_real_selector_is_one_of_its_class_too(name: str) -> None:
    with getattr(selectors, name)() as real, scenario():
        assert isinstance(real, getattr(selectors, name))


@pytest.mark.parametrize("name", CLASSES)
def test_the_class_is_called_as_the_real_one(name: str) -> None:
    real = getattr(selectors, name).__name__
    with scenario():
        assert real == getattr(selectors, name).__name__


def test_a_name_that_was_imported_before_makes_one_too() -> None:
    with scenario():
        near, _far = pair()
        selector = DefaultSelector()
        selector.register(near, EVENT_WRITE)
        assert isinstance(selector, DefaultSelector)
        assert [mask for _, mask in selector.select()] == [EVENT_WRITE]


def test_an_object_of_another_kind_is_no_selector() -> None:
    with scenario():
        assert not isinstance(object(), selectors.DefaultSelector)
        assert not isinstance(selectors.DefaultSelector(), socket.socket)


def test_a_class_derived_before_is_a_subclass() -> None:
    class Derived(selectors.SelectSelector):
        pass

    with scenario():
        assert issubclass(Derived, selectors.SelectSelector)
        assert not issubclass(object, selectors.SelectSelector)


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_derived_class_is_refused_aloud_when_it_is_given_a_simulated_socket(when: str) -> None:
    def derived() -> type[selectors.BaseSelector]:
        class Derived(selectors.SelectSelector):
            pass

        return Derived

    kind = derived()
    with scenario() as net:
        near, _far = pair()
        with kind() if when == "before" else derived()() as selector:
            with pytest.raises(NotImplementedError, match=r"^a real selector is given a scenario's socket\. "):
                selector.register(near, EVENT_READ)
        net._world.monitor.violation = None


def test_a_derived_class_goes_on_with_real_sockets() -> None:
    class Derived(selectors.SelectSelector):
        pass

    near, far = socket.socketpair()
    with near, far, scenario(), Derived() as selector:
        selector.register(near, EVENT_WRITE)
        assert [mask for _, mask in selector.select(0)] == [EVENT_WRITE]


# -- judged in select() -----------------------------------------------------------------------------------


def turns_a_thousand_times(selector: selectors.BaseSelector) -> None:
    """A loop that always does something, and never moves a byte."""
    near, _far = pair()
    selector.register(near, EVENT_WRITE)
    for number in range(1002):
        selector.select()
        selector.modify(near, EVENT_WRITE, number)


def test_a_thousand_selects_in_vain_are_a_busy_loop() -> None:
    text = (
        r"^\[busy-loop\] select\(\) returned 1000 times in a row \(connection WRITE\), and no byte was moved in between"
    )
    with pytest.raises(ScenarioError, match=text):
        with scenario():
            turns_a_thousand_times(selectors.DefaultSelector())


def test_a_busy_loop_that_is_allowed_lets_time_pass() -> None:
    with scenario("busy-loop") as net:
        net.client("alice", delay=5)
        with socket.create_server(("127.0.0.1", 8888)):
            turns_a_thousand_times(selectors.DefaultSelector())
        assert net.now == 5.0


# -- in which order ------------------------------------------------------------------------------------


def told(kind: str, waits: dict[str, float], again: str = "") -> list[list[str]]:
    """Backends that speak after so many seconds; what two `select()`s then tell, between which one is read."""

    def program() -> list[list[str]]:
        with getattr(selectors, kind)() as selector, ExitStack() as stack:
            for name in waits:
                sock = stack.enter_context(socket.create_connection((name, 1)))
                selector.register(sock, selectors.EVENT_READ, name)
            time.sleep(5)
            first = selector.select()
            for key, _ in first:
                if key.data == again:
                    selector.unregister(key.fileobj)
                    selector.register(key.fileobj, selectors.EVENT_READ, key.data)
            return [[key.data for key, _ in ready] for ready in (first, selector.select())]

    with Scenario(allow={"unread-data", "unmet-expectation"}) as net:
        for name, seconds in waits.items():
            net.backend((name, 1)).waits(seconds).sends(b"x")
        found = net.run(program)
    assert found is not None
    return found


def test_epoll_tells_first_what_became_ready_first() -> None:
    assert [["c", "a", "b"]] * 2 == told("EpollSelector", {"a": 2, "b": 3, "c": 1})


def test_epoll_tells_last_what_was_registered_again() -> None:
    assert [["c", "a", "b"], ["a", "b", "c"]] == told("EpollSelector", {"a": 2, "b": 3, "c": 1}, again="c")


def test_poll_tells_in_the_order_of_registration() -> None:
    assert [["a", "b", "c"], ["b", "c", "a"]] == told("PollSelector", {"a": 2, "b": 3, "c": 1}, again="a")


def test_select_tells_in_the_order_of_a_set() -> None:
    assert [["a", "b", "c"]] * 2 == told("SelectSelector", {"a": 2, "b": 3, "c": 1}, again="a")


def test_what_is_not_ready_at_its_registration_has_no_place_yet() -> None:
    def program() -> list[str]:
        with selectors.EpollSelector() as selector, ExitStack() as stack:
            socks = [stack.enter_context(socket.create_connection((name, 1))) for name in "ab"]
            for name, sock in zip("ab", socks, strict=True):
                selector.register(sock, selectors.EVENT_READ, name)
            socks[0].send(b"q")  # the peer reads it, and room is nothing that anybody waits for here
            time.sleep(5)
            return [key.data for key, _ in selector.select()]

    with Scenario(allow={"unread-data"}) as net:
        net.backend(("a", 1)).expects(b"q").waits(2).sends(b"x")
        net.backend(("b", 1)).waits(1).sends(b"x")
        assert ["b", "a"] == net.run(program)
