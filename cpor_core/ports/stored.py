"""Stored values with the ETags of their rows."""

from dataclasses import dataclass
from typing import Generic, TypeVar

RegistryEntry = TypeVar("RegistryEntry")


@dataclass(frozen=True, slots=True)
class Registered(Generic[RegistryEntry]):
    """An entry of the registry, with its version and the ETag of its row."""

    value: RegistryEntry
    version: int
    etag: str


@dataclass(frozen=True, slots=True)
class Stored(Generic[RegistryEntry]):
    """A stored value, with the ETag of its row."""

    value: RegistryEntry
    etag: str
