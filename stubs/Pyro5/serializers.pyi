"""What is inside of Pyro5's messages."""

from collections.abc import Mapping, Sequence
from typing import Any

class SerializerBase:
    serializer_id: int
    def loads(self, data: bytes) -> Any: ...
    def dumps(self, data: object) -> bytes: ...
    def dumpsCall(self, obj: str, method: str, vargs: Sequence[object], kwargs: Mapping[str, object]) -> bytes: ...

serializers: dict[str, SerializerBase]
