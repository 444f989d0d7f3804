"""Fakes and helpers to test what is built on Folkmoot.

What users' tests need is here by name, and looked up when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from folkmoot.testing.kit.history import History as History
    from folkmoot.testing.kit.loop import simulate as simulate
    from folkmoot.testing.kit.loop import simulated as simulated
    from folkmoot.testing.kit.mesh import NotSimulated as NotSimulated
    from folkmoot.testing.kit.mesh import ScriptedFailure as ScriptedFailure
    from folkmoot.testing.kit.mesh import TestMesh as TestMesh
    from folkmoot.testing.kit.replaying import Difference as Difference
    from folkmoot.testing.kit.replaying import replay as replay

_MODULES = {
    "Difference": "kit.replaying",
    "History": "kit.history",
    "NotSimulated": "kit.mesh",
    "ScriptedFailure": "kit.mesh",
    "TestMesh": "kit.mesh",
    "replay": "kit.replaying",
    "simulate": "kit.loop",
    "simulated": "kit.loop",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'folkmoot.testing' has no attribute {name!r}")
    return getattr(import_module(f"folkmoot.testing.{_MODULES[name]}"), name)
