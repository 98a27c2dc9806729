"""For values of which there is one for each socket: frozen to the type checker, made at the cost of those that are not.

A frozen dataclass sets each field through object.__setattr__, which for the many fields of a socket costs as much as to
decode it. mypy still refuses every assignment (`make check`); only at run time nothing does.
"""

from dataclasses import MISSING, dataclass, fields
from typing import TypeVar

T = TypeVar("T")


def made_often(cls: type[T]) -> type[T]:
    """Above `@dataclass(frozen=True, slots=True)`, for fields without default factories."""
    shape: dict[str, object] = {"__annotations__": {}, "__qualname__": cls.__qualname__}
    for each in fields(cls):  # type: ignore[arg-type]  # a dataclass, as is said above
        shape["__annotations__"][each.name] = each.type  # type: ignore[index]  # the dict from above
        if each.default is not MISSING:
            shape[each.name] = each.default
    cls.__init__ = dataclass(type(cls.__name__, (), shape)).__init__  # type: ignore[method-assign,misc]
    del cls.__setattr__, cls.__delattr__
    return cls
