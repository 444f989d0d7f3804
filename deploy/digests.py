"""`make digests`: pins the images of others for a release, by what their registries have now.

A tag can be moved; a digest cannot. `.env` names tags, which people read; a release adds
`deploy/compose/release.env`, which names the same tags with their digests, and is checked by
`make release-check` before anything is released.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RELEASE = ROOT / "deploy" / "compose" / "release.env"
INSPECT = "docker buildx imagetools inspect --format '{{.Manifest.Digest}}'"
"""Asks a registry for the digest of an image for all platforms; the image's name is added."""

IMAGE = re.compile(r"^(\w+_IMAGE)=(\S+)$", re.MULTILINE)
DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")
ASK_TIMEOUT_S = 60
HEAD = "# Made by `make digests`. Added to .env by `make compose-up RELEASE=1`.\n"


class NoDigest(Exception):
    """A registry does not say what a tag stands for."""


def images() -> Mapping[str, str]:
    """Return the images of others, by their variables in `.env`."""
    return dict(IMAGE.findall((ROOT / ".env").read_text()))


def resolve(release: Path, inspect: Sequence[str]) -> None:
    """Write what every tag stands for into `release`.

    Raises:
        NoDigest: a registry cannot be reached, or has no such image; nothing is written.
    """
    pins = [f"{name}={image}@{_digest(image, inspect)}\n" for name, image in images().items()]
    release.write_text(HEAD + "".join(pins))


def _digest(image: str, inspect: Sequence[str]) -> str:
    done = subprocess.run(
        [*inspect, image], capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=False
    )
    found = done.stdout.strip()
    if done.returncode != 0 or not DIGEST.match(found):
        raise NoDigest(f"no registry says what {image} is: {done.stderr.strip() or found!r}")
    return found


def missing(release: Path) -> list[str]:
    """Return which images are not pinned, or not as the version that `.env` names."""
    if not release.exists():
        return [f"{release} is not there: run `make digests` where the registries can be reached"]
    pins = dict(IMAGE.findall(release.read_text()))
    problems = []
    for name, image in images().items():
        tag, _, digest = pins.get(name, "").partition("@")
        if tag != image or not DIGEST.match(digest):
            problems.append(f"{name} is not pinned as {image}@sha256:…: run `make digests`")
    return problems


def main() -> int:
    """Resolve or check; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m deploy.digests", description=__doc__)
    parser.add_argument("what", choices=("resolve", "check"))
    parser.add_argument("--inspect", default=INSPECT, help="how to ask for a digest")
    asked = parser.parse_args()
    try:
        if asked.what == "resolve":
            resolve(RELEASE, shlex.split(asked.inspect))
        problems = missing(RELEASE)
    except (NoDigest, OSError, subprocess.TimeoutExpired) as error:
        problems = [str(error)]
    print(*problems, sep="\n", end="\n" if problems else "", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
