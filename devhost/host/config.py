"""
Reads `host.json`, `local.settings.json` and the environment.

A key of `host.json` that has no field here is refused. If the host ignored a setting that changes the real host, a
local run would prove nothing.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError
from pydantic.alias_generators import to_camel

from devhost.host.cannot_start import CannotStart

DEFAULT_PORT = 7071


def _time_span(text: object) -> timedelta:
    """Read a time span of .NET: `hh:mm:ss`, perhaps with days and a dot before it and a fraction of a second after."""
    found = (
        re.fullmatch(r"(?:(\d+)\.)?(\d{1,2}):([0-5]\d):([0-5]\d(?:\.\d+)?)", text) if isinstance(text, str) else None
    )
    if found is None:
        raise ValueError("is not a time span hh:mm:ss")
    days, hours, minutes, seconds = found.groups()
    return timedelta(days=int(days or 0), hours=int(hours), minutes=int(minutes), seconds=float(seconds))


TimeSpan = Annotated[timedelta, BeforeValidator(_time_span)]


_Model = TypeVar("_Model", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, strict=True)


class HttpSettings(_Section):
    """`extensions.http`. This host ignores `hsts`, which is for https: this host serves http only."""

    route_prefix: str = "api"
    custom_headers: dict[str, str] = Field(default_factory=dict)
    hsts: JsonValue = None


class QueueSettings(_Section):
    """`extensions.queues`. These settings apply to every queue."""

    batch_size: int = Field(default=16, ge=1, le=32)
    new_batch_threshold: int | None = Field(default=None, ge=0)
    max_dequeue_count: int = Field(default=5, ge=1)
    visibility_timeout: TimeSpan = timedelta(0)
    max_polling_interval: TimeSpan = timedelta(minutes=1)
    message_encoding: Literal["base64"] = "base64"


class Extensions(_Section):
    """`extensions`: the settings of the two extensions that this project uses."""

    http: HttpSettings = HttpSettings()
    queues: QueueSettings = QueueSettings()


class HostJson(_Section):
    """`host.json`. This host ignores telemetry, logging and the extension bundle."""

    version: Literal["2.0"]
    function_timeout: TimeSpan = timedelta(minutes=30)
    extensions: Extensions = Extensions()
    extension_bundle: JsonValue = None
    logging: JsonValue = None
    telemetry_mode: JsonValue = None


class _LocalHost(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    port: int = Field(default=DEFAULT_PORT, alias="LocalHttpPort")


class _LocalSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    host: _LocalHost = Field(default=_LocalHost(), alias="Host")
    is_encrypted: Literal[False] = Field(default=False, alias="IsEncrypted")
    values: dict[str, str] = Field(default_factory=dict, alias="Values")


@dataclass(frozen=True, slots=True)
class Config:
    """An app's folder, `host.json`, settings and port. The settings hold secrets, so they are never printed."""

    app_dir: Path
    host: HostJson
    settings: Mapping[str, str] = field(repr=False)
    port: int = DEFAULT_PORT

    @classmethod
    def load(cls, app_dir: Path, environ: Mapping[str, str]) -> Self:
        """
        Read the files in the app's folder.

        If *environ* and `local.settings.json` have the same setting, *environ* counts, as in Core Tools. Raises
        CannotStart for a missing or broken file, and for a key that this host does not know.
        """
        app_dir = app_dir.resolve()
        host = _read(HostJson, app_dir / "host.json")
        local = app_dir / "local.settings.json"
        settings = _read(_LocalSettings, local) if local.exists() else _LocalSettings()
        return cls(app_dir, host, {**settings.values, **environ}, settings.host.port)

    def resolved(self, text: str) -> str:
        """Return *text* with the setting NAME in place of each `%NAME%`. Raises CannotStart for a missing setting."""

        def value(found: re.Match[str]) -> str:
            if not self.settings.get(found[1]):
                raise CannotStart(f"'%{found[1]}%' does not resolve: there is no setting {found[1]}")
            return self.settings[found[1]]

        return re.sub(r"%([^%]+)%", value, text)

    def connection(self, name: str) -> str:
        """Return the connection string in the setting *name*. Raises CannotStart if there is none."""
        if self.settings.get(name):
            return self.settings[name]
        if any(key.startswith(f"{name}__") for key in self.settings):
            raise CannotStart(
                f"connection {name!r} is identity-based, which works in Azure only: set {name} to a connection string"
            )
        raise CannotStart(f"there is no setting {name} for connection {name!r}")


def _read(model: type[_Model], path: Path) -> _Model:
    try:
        return model.model_validate(json.loads(path.read_text("utf-8")))
    except FileNotFoundError as error:
        raise CannotStart(f"{path} does not exist: is {path.parent} the folder of function_app.py?") from error
    except ValidationError as error:
        faults = [f"{path.name}: {_fault_text(fault['loc'], fault['type'], fault['msg'])}" for fault in error.errors()]
        raise CannotStart("\n".join(faults)) from error
    except ValueError as error:
        raise CannotStart(f"{path.name} is not JSON: {error}") from error


def _fault_text(where: tuple[int | str, ...], kind: str, message: str) -> str:
    place = ".".join(str(part) for part in where)
    return f"{place} is not known to this host" if kind == "extra_forbidden" else f"{place}: {message}"
