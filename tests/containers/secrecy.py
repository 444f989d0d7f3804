"""What a container can read of the secrets: its own, and of nobody else's a word.

Agents' code runs in the worker's container, as the worker's user, and is the reason for asking.
"""

from __future__ import annotations

from deploy.secrets import ADMIN, FOLDER
from folkmoot.contracts.access import OUTSIDER, USERS
from tests.containers.platform import SERVICES, Platform

READ_ALL = """
import os, pathlib
for name in os.listdir("/run/secrets"):
    print(pathlib.Path("/run/secrets", name).read_text())
print(os.environ)
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        print((process / "environ").read_text(errors="replace"))
    except OSError:
        pass
"""
"""Run where agents run: all secrets that lie there, and the environment of every process."""


def see_that_secrets_are_ones_own(platform: Platform) -> None:
    """See that each container reads its own password and nkey, and those of no other user.

    Raises:
        AssertionError: it reads another's, or lacks its own.
    """
    words = {user: _words(user) for user in (*USERS, ADMIN)}
    for service in (*SERVICES, "agent-worker"):
        for container in platform.containers(service):
            read = platform.engine("exec", container, "python", "-c", READ_ALL)
            found = {user for user, known in words.items() if any(word in read for word in known)}
            assert found == {service}, f"{service} reads secrets of {sorted(found)}"
    assert OUTSIDER in words


def _words(user: str) -> tuple[str, str]:
    return (FOLDER / f"{user}.password").read_text(), (FOLDER / f"{user}.nkey").read_text()
