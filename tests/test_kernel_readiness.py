"""What a selector is told of a socket is what poll() says of it: said twice in the kernel's part, once for speed."""

from __future__ import annotations

from itertools import product
from socket import AF_INET

import pytest

from mockselector._judge.trace import Place
from mockselector._kernel.addresses import AF_UNIX
from mockselector._kernel.bits import as_readiness
from mockselector._kernel.descriptors import Descriptor
from mockselector._kernel.streams import Stream

HERE = Place(__file__, 1, "test")
FLAGS = ("ended", "mute", "deaf", "dead", "error")
FAR = ("closed", "dead", "deaf")


@pytest.mark.parametrize("unix", [False, True])
def test_of_an_end_of_a_connection_in_whatever_state(unix: bool) -> None:
    for near, far, unread, sent in product(
        product([False, True], repeat=len(FLAGS)), product([False, True], repeat=len(FAR)), (0, 5), (0, 90, 100)
    ):
        stream = Stream.pair((100, 100), ("", 0), ("", 0), unix=unix)
        stream.other.put(b"u" * unread)
        stream.put(b"s" * sent)
        for name, value in zip(FLAGS, near, strict=True):
            setattr(stream, name, value)
        for name, value in zip(FAR, far, strict=True):
            setattr(stream.other, name, value)
        assert as_readiness(stream.polled()) == stream.ready(), (near, far, unread, sent)


@pytest.mark.parametrize("family", [AF_INET, AF_UNIX])
def test_of_a_socket_without_a_connection_in_whatever_state(family: int) -> None:
    for shut, connecting, error in product(range(4), [False, True], [0, 111]):
        descriptor = Descriptor(3, family, HERE)
        descriptor.connecting = connecting
        if not connecting:  # what connects is neither
            descriptor.shut, descriptor.error = shut, error
        assert as_readiness(descriptor.polled()) == descriptor.ready(), (shut, connecting, error)
