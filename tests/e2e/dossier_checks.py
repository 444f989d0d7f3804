"""What a finished dossier must say, computed here a second time and by other means."""

from __future__ import annotations

import email
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from folkmoot.bus import connect
from folkmoot.core.crdt import ORSet
from folkmoot.sdk.knowledge import read_document


def independent_facts() -> set[tuple[str, str, str]]:
    """Return (subject, predicate, value) of versions and requirements, read from METADATA."""
    facts: set[tuple[str, str, str]] = set()
    seen: set[str] = set()
    for distribution in metadata.distributions():
        text = distribution.read_text("METADATA")
        if text is None:
            continue
        headers = email.message_from_string(text)
        name = re.sub(r"[-_.]+", "-", str(headers["Name"])).lower()
        if name in seen:
            continue
        seen.add(name)
        facts.add((name, "version", str(headers["Version"])))
        facts |= {(name, "requires", str(r)) for r in headers.get_all("Requires-Dist") or ()}
    return facts


async def kept_facts(address: str, saga_id: str) -> list[list[Any]]:
    """Return the facts of a saga as they are kept in the log."""
    bus = await connect(address)
    try:
        document = await read_document(bus.log, "facts")
        assert isinstance(document, ORSet)
        return document.tagged(saga_id)
    finally:
        await bus.close()


async def assert_facts_are_right(address: str, saga_id: str) -> None:
    """The facts that agents found equal those of an independent computation."""
    facts = await kept_facts(address, saga_id)
    found = {(s, p, v) for s, p, v, _ in facts if p in ("version", "requires")}
    assert found == independent_facts()


def assert_report_is_there(folder: Path) -> None:
    html = (folder / "dossier" / "dossier.html").read_text()
    assert "<svg" in html
    assert (folder / "dossier" / "dossier.md").read_text().startswith("# Dependency dossier")
