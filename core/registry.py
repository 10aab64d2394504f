"""Doors: a part registers itself under its file's name, and its docstring's first line is what the console shows."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from core.errors import NotFound

Part = TypeVar("Part")


class Registry(Generic[Part]):
    """The parts of one door. `package` is imported on first use, so that nothing runs at import."""

    def __init__(self, door: str, package: str) -> None:
        self.door = door
        self.package = package
        self._parts: dict[str, Part] = {}
        self._loaded = False

    def register(self, part: Part) -> Part:
        """Decorator: put `part` under the name of the module that defines it. Raises ValueError if it is taken."""
        name = part.__module__.rpartition(".")[2]
        if name in self._parts:
            raise ValueError(f"{self.door} {name} is registered twice")
        self._parts[name] = part
        return part

    def get(self, name: str) -> Part:
        """The part called `name`. Raises NotFound, naming those there are."""
        self._load()
        try:
            return self._parts[name]
        except KeyError:
            raise NotFound(f"There is no {self.door} named {name}.", f"There are: {', '.join(self)}.") from None

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._parts))

    def summary(self, name: str) -> str:
        """The first line of the part's docstring."""
        return (self.get(name).__doc__ or "").strip().splitlines()[0]

    def _load(self) -> None:
        if self._loaded:
            return
        folder = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(folder.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        self._loaded = True


Decorator = Callable[[Part], Part]
