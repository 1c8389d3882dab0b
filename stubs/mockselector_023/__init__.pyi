"""mockselector 0.2.3, as the tests know it: its package, renamed so that both can be imported."""

from .selector import ListenSocket as ListenSocket
from .selector import MockSelector as MockSelector
from .selector import MockSocket as MockSocket

__version__: str
