"""Where settings come from: flags win over environment variables, these over trimtab.toml, that over defaults."""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from core.errors import InvalidInput
from core.settings import (
    CostSettings,
    DashboardSettings,
    GatewaySettings,
    JudgeSettings,
    ModelSettings,
    MonitorSettings,
    RetrainSettings,
    Settings,
)

PREFIX = "TRIMTAB_"
FILE = "trimtab.toml"


class _Schema(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid")

    home: Path = Path("~/.trimtab")
    models_home: Path | None = None
    database_url: str = ""
    data: str = ""
    deployment: str = "assistant"
    gateway: GatewaySettings = GatewaySettings()
    models: ModelSettings = ModelSettings()
    monitors: MonitorSettings = MonitorSettings()
    judge: JudgeSettings = JudgeSettings()
    cost: CostSettings = CostSettings()
    retrain: RetrainSettings = RetrainSettings()
    dashboard: DashboardSettings = DashboardSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)  # load() reads the sources itself, to know where each value came from


def load(flags: Mapping[str, Any] | None = None, *, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this installation. `flags` are dotted names to values, e.g. {"gateway.port": 9000}.

    Raises InvalidInput that names the setting, where it came from, and the remedy.
    """
    given = os.environ if environment is None else environment
    _refuse_unknown(given)
    from_flags = _nest({name: value for name, value in (flags or {}).items() if value is not None})
    from_environment = _read_environment(given)
    home = Path(from_flags.get("home") or from_environment.get("home") or "~/.trimtab").expanduser()
    from_file = _read_file(home / FILE)
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for values, origin in (
        (from_file, f"file {FILE}"),
        (from_environment, "environment"),
        (from_flags, "flag"),
    ):
        _merge(merged, values)
        origins.update({name: _origin(name, origin) for name in _dotted(values)})
    merged["home"] = home
    try:
        read = _Schema(**merged)
    except ValidationError as error:
        raise _explain(error, origins) from None
    _refuse_small(read, origins)
    models_home = (read.models_home or home / "models").expanduser().absolute()
    fields = {
        field.name: getattr(read, field.name) for field in dataclasses.fields(Settings) if field.name != "origins"
    }
    return Settings(**{**fields, "home": home.absolute(), "models_home": models_home, "origins": origins})


def names() -> list[tuple[str, str, str, bool]]:
    """Every setting as (dotted name, default as text, help, secret), in the order of core.settings."""
    return list(_describe(Settings, ""))


def variable(name: str) -> str:
    """The environment variable of a dotted setting name."""
    return PREFIX + name.replace(".", "__").upper()


def export(settings: Settings) -> dict[str, str]:
    """Environment variables that give a child process the same settings."""
    variables: dict[str, str] = {}
    for name, _, _, _ in names():
        value: Any = settings
        for part in name.split("."):
            value = getattr(value, part)
        variables[variable(name)] = str(value).lower() if isinstance(value, bool) else str(value)
    return variables


def _describe(kind: type, prefix: str) -> Iterator[tuple[str, str, str, bool]]:
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.name == "origins":
            continue
        if dataclasses.is_dataclass(hints[field.name]):
            yield from _describe(hints[field.name], f"{prefix}{field.name}.")
            continue
        default = "" if field.default is dataclasses.MISSING else str(field.default)
        yield (
            f"{prefix}{field.name}",
            default,
            field.metadata.get("help", ""),
            bool(field.metadata.get("secret")),
        )


def _read_environment(given: Mapping[str, str]) -> dict[str, Any]:
    source = EnvSettingsSource(_Schema)
    source.env_vars = {name.lower(): value for name, value in given.items() if value != ""}
    return dict(source())


def _read_file(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return dict(TomlConfigSettingsSource(_Schema, path)())
    except (OSError, ValueError) as error:
        raise InvalidInput(f"The settings file {path.name} cannot be read: {error}.", "Mend or remove it.") from None


def _refuse_unknown(given: Mapping[str, str]) -> None:
    known = {variable(name) for name, _, _, _ in names()}
    for name in given:
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"Did you mean {near[0]}?" if near else "Run: trimtab settings, to see what there is."
            raise InvalidInput(f"There is no setting {name}.", hint)


def _refuse_small(read: _Schema, origins: Mapping[str, str]) -> None:
    """Raise InvalidInput for the first number below the least that its field states."""
    for part in dataclasses.fields(Settings):
        group = getattr(read, part.name, None)
        for field in dataclasses.fields(group) if dataclasses.is_dataclass(group) else ():
            name, least = f"{part.name}.{field.name}", field.metadata.get("least")
            if least is not None and getattr(group, field.name) < least:
                origin = origins.get(name, "the settings")
                raise InvalidInput(f"The setting {name} ({origin}) is wrong: it is below {least}.", "Correct it.")


def _explain(error: ValidationError, origins: Mapping[str, str]) -> InvalidInput:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    origin = origins.get(name, "the settings")
    if first["type"] == "extra_forbidden":
        return InvalidInput(f"There is no setting {name} ({origin}).", "Run: trimtab settings, to see what there is.")
    return InvalidInput(f"The setting {name} ({origin}) is wrong: {first['msg'].lower()}.", "Correct it.")


def _origin(name: str, origin: str) -> str:
    return f"environment {variable(name)}" if origin == "environment" else origin


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *folders, last = name.split(".")
        place = nested
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return nested


def _dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _dotted(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _merge(target: dict[str, Any], values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping):
            _merge(target.setdefault(name, {}), value)
        else:
            target[name] = value
