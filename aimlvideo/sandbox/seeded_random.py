"""Seeded chance that does not depend on the order in which requests arrive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True, slots=True)
class Dice:
    """The chance that belongs to one thing: every question about it has its own, repeatable answer."""

    seed: int
    key: str

    def digest(self, question: str, size: int = 8) -> bytes:
        """Return `size` bytes (64 at most) that follow from seed, key and question."""
        return blake2b(f"{self.seed}\0{self.key}\0{question}".encode("utf-8", "replace"), digest_size=size).digest()

    def roll(self, question: str) -> float:
        """Return a number from 0 up to 1."""
        return int.from_bytes(self.digest(question)) / 2**64

    def happens(self, question: str, share: float) -> bool:
        """Tell whether something of this probability happens."""
        return share > 0 and self.roll(question) < share

    def pick(self, question: str, choices: Sequence[T]) -> T:
        """Return one of the choices."""
        return choices[int(self.roll(question) * len(choices))]

    def letters(self, question: str, count: int) -> str:
        """Return `count` (64 at most) letters, digits, `-` and `_`."""
        return "".join(_LETTERS[byte & 63] for byte in self.digest(question, count))

    def uuid(self, question: str) -> str:
        """Return something that looks like a UUID."""
        text = self.digest(question, 16).hex()
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
