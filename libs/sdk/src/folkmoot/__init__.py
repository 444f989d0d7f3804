"""Folkmoot: the control plane under multi-agent systems.

This file makes `from folkmoot import Agent` work while `folkmoot.core`, `folkmoot.bus` and the
other packages stay separate distributions: `extend_path` joins the folders of all of them. Names
are looked up when they are first used, so that importing `folkmoot` costs next to nothing.
"""

from __future__ import annotations

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
