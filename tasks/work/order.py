"""The order in which items are handed out: as they came, or shuffled by a seed without storing a permutation."""

import hashlib

ROUNDS = 4


class Order:
    """The identity: position is index."""

    shuffled = False

    def at(self, position: int) -> int:
        """Return the index of the item that is `position`th to be handed out."""
        return position


class Shuffled(Order):
    """A permutation of 0 … count-1 that depends on `seed` alone: a Feistel network, walked until inside."""

    shuffled = True

    def __init__(self, count: int, seed: str) -> None:
        self._count = count
        bits = max(count - 1, 1).bit_length()
        self._half = (bits + 1) // 2
        self._mask = (1 << self._half) - 1
        self._keys = [
            int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:8], "big") | 1
            for number in range(ROUNDS)
        ]

    def at(self, position: int) -> int:
        """Return the index of the item that is `position`th to be handed out; raise IndexError beyond the count."""
        if not 0 <= position < self._count:
            raise IndexError(position)
        index = self._permute(position)
        # The network permutes the next power of four: outside values lead back inside by going on.
        while index >= self._count:
            index = self._permute(index)
        return index

    def _permute(self, value: int) -> int:
        left, right = value >> self._half, value & self._mask
        for key in self._keys:
            mixed = ((right + key) * 0x9E3779B97F4A7C15 ^ (right * key)) & 0xFFFFFFFFFFFFFFFF
            left, right = right, left ^ ((mixed >> 29) & self._mask)
        return (left << self._half) | right
