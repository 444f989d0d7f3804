"""One synthetic environment with something of everything, hostile metadata included."""

from __future__ import annotations

from tests.unit.dossier.environments import Environment

SCRIPT = "<script>alert(1)</script>"
HOSTILE = f"\"'>{SCRIPT}<img src=x onerror=alert(2)> [a](javascript:alert(3)) | `b` *c*"


def fill(environment: Environment) -> None:
    """Install the sample."""
    environment.add(
        "app", "2.0", "Summary: The one that is wanted", "License-Expression: Apache-2.0",
        needs=["Web_Kit[fast]>=1", "old-lib>=2", "gone", 'tool; extra == "dev"'],
        files={"app/a.py": 2_000, "app/b.py": 3_000},
    )  # fmt: skip
    environment.add(
        "web-kit", "1.2", "License: BSD-3-Clause",
        needs=['quick; extra == "fast"', 'slow; extra == "odd"'],
        files={"web/a.py": 500_000},
    )  # fmt: skip
    environment.add(
        "quick", "0.9", "Classifier: License :: OSI Approved :: MIT License",
        "Classifier: License :: OSI Approved :: Mozilla Public License 2.0 (MPL 2.0)",
        files={"quick.cpython-311.so": 4 * 1024**2},
    )  # fmt: skip
    environment.add("old-lib", "1.5", "License-Expression: GPL-3.0-or-later", needs=["quick"])
    environment.add("tool", "3", files={"tool-3.dist-info/licenses/LICENSE": 1_000})
    hostile = environment.add("hostile", "1", f"Summary: {HOSTILE}", f"License: {HOSTILE}")
    (hostile / "RECORD").unlink()
    edited = environment.add("edited", "0.1", "License: Apache 2", files={"edited.pth": 20})
    (edited / "direct_url.json").write_text('{"dir_info": {"editable": true}}')
