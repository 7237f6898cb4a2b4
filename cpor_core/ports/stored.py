"""Values as they lie in the store."""

from dataclasses import dataclass
from typing import Generic, TypeVar

RegistryEntry = TypeVar("RegistryEntry")


@dataclass(frozen=True, slots=True)
class Registered(Generic[RegistryEntry]):
    """An entry of the registry, its version, and the store's ETag of it."""

    value: RegistryEntry
    version: int
    etag: str


@dataclass(frozen=True, slots=True)
class Stored(Generic[RegistryEntry]):
    """A value as it lies in the store, and the store's ETag of it."""

    value: RegistryEntry
    etag: str
