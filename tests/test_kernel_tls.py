"""What `ssl` does over simulated sockets is what it does over real ones."""

from __future__ import annotations

import socket
import ssl
import sys
from typing import TYPE_CHECKING, Final

import pytest

if sys.platform != "linux":
    pytest.skip("what is compared with is Linux", allow_module_level=True)

from kernel import ENDED, READABLE, both
from kernel_tls import CASES, Tls
from mockselector._play.dialling import OWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel import Ground

pytestmark = [
    pytest.mark.slow,
    pytest.mark.shared,
    # Python 3.10 does not close what it has refused to wrap.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=["TCP", "AF_UNIX"])
def test_it_is_the_same(case: Callable[[Ground], object], family: int) -> None:
    real, simulated = both(case, family)
    assert simulated == real


def after_an_error(ground: Ground) -> object:
    """A reset is read, and the end behind it; then somebody writes."""
    tls = Tls(ground, version=ssl.TLSVersion.TLSv1_2).shaken()
    tls.client.send(b"unread")
    ground.settle(tls.server, READABLE)
    tls.server.close()
    ground.settle(tls.client, ENDED)
    tls.outcome(lambda: tls.client.recv(1))
    tls.outcome(lambda: tls.client.recv(1))
    return str(tls.outcome(lambda: tls.client.send(b"x")))


def differs_after_an_error() -> None:
    real, simulated = both(after_an_error)
    assert "BAD_LENGTH" in str(real)
    assert "SSLEOFError" in str(simulated)


def what_fits(ground: Ground) -> int:
    """How many records of 16 KiB can be written that nobody reads."""
    tls = Tls(ground).shaken()
    number = 0
    while tls.outcome(lambda: tls.server.send(b"x" * 16384)) == 16384:
        number += 1
    return number


def differs_in_what_fits() -> None:
    real, simulated = both(what_fits)
    assert real
    assert simulated * 16384 == OWN[True]  # to the byte, of plain text


DIFFERENCES: Final[dict[str, Callable[[], None]]] = {
    "tls-after-an-error": differs_after_an_error,
    "tls-buffer": differs_in_what_fits,
}


@pytest.mark.parametrize("differs", DIFFERENCES.values(), ids=DIFFERENCES)
def test_what_is_left_on_purpose_still_differs(differs: Callable[[], None]) -> None:
    differs()
