"""Pyro5's messages."""

from typing import Final

MSG_CONNECT: Final = 1
MSG_CONNECTOK: Final = 2
MSG_CONNECTFAIL: Final = 3
MSG_INVOKE: Final = 4
MSG_RESULT: Final = 5
MSG_PING: Final = 6
FLAGS_EXCEPTION: Final = 1
FLAGS_ONEWAY: Final = 4

class SendingMessage:
    data: bytes
    def __init__(self, msgtype: int, flags: int, seq: int, serializer_id: int, payload: bytes) -> None: ...

class ReceivingMessage:
    type: int
    flags: int
    seq: int
    data: bytes
    data_size: int
    annotations_size: int
    def __init__(self, header: bytes, payload: bytes | None = None) -> None: ...
    def add_payload(self, payload: bytes) -> None: ...
