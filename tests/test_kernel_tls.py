"""What `ssl` does over simulated sockets is what it does over real ones."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform != "linux":
    pytest.skip("what is compared with is Linux", allow_module_level=True)

from kernel import both
from kernel_tls import CASES

if TYPE_CHECKING:
    from collections.abc import Callable

    from kernel import Ground

pytestmark = [
    pytest.mark.slow,
    # Python 3.10 does not close what it has refused to wrap.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=["TCP", "AF_UNIX"])
def test_it_is_the_same(case: Callable[[Ground], object], family: int) -> None:
    real, simulated = both(case, family)
    assert simulated == real
