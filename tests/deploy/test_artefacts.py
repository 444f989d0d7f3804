"""Generated files are what they would be made now."""

from __future__ import annotations

import pytest

from deploy.artefacts.files import ROOT, made


@pytest.mark.parametrize(("name", "text"), made().items(), ids=list(made()))
def test_a_generated_file_is_up_to_date(name: str, text: str) -> None:
    path = ROOT / name
    assert path.is_file(), f"{name} is missing: run `make artefacts`"
    assert path.read_text() == text, f"{name} is out of date: run `make artefacts`"
