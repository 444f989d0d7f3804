"""Whom a team wants is said once, and answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from folkmoot.core.election import TeamConfigured
from folkmoot.core.messages import ConfigureTeam
from folkmoot.sdk.election.configuring import configure_team
from folkmoot.sdk.errors import ElectionRefused, NoAnswer
from folkmoot.testing.virtual_time import LoopClock
from tests.unit.sdk.election.town import Town


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    made = Town()
    await made.start_service()
    await made.program("a").client.team("news").leadership()
    yield made
    await made.end()


async def test_rules_are_in_force_when_it_returns(town: Town) -> None:
    team = town.programs[0].client.team("news")
    rules: dict[str, Any] = {"labels": {"zone": "a"}, "version_min": "1.2", "tenure_s": 1.5}
    await team.configure("preferred", preferred=["n2", "n1"], **rules, actor="me")
    ((_, configured),) = town.events(TeamConfigured)
    expected = TeamConfigured("news", "preferred", ("n2", "n1"), {"zone": "a"}, "1.2", 1500, "me")
    assert configured == expected
    await team.configure("preferred", preferred=["n2", "n1"], **rules, actor="another")
    assert len(town.events(TeamConfigured)) == 1


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (ConfigureTeam("weather"), "unknown-team"),
        (ConfigureTeam("news", version_min="latest"), "invalid-version"),
        (ConfigureTeam("news", tenure_ms_min=-1), "invalid-tenure"),
    ],
)
async def test_rules_that_cannot_be_are_refused(
    town: Town, message: ConfigureTeam, kind: str
) -> None:
    with pytest.raises(ElectionRefused, match=kind):
        await configure_team(town.bus()[0], message, LoopClock())
    assert town.rejections() == [kind]
    assert town.events(TeamConfigured) == []


async def test_without_an_election_nobody_answers(town: Town) -> None:
    town.services[0][1].cancel()
    with pytest.raises(NoAnswer, match="did not answer within 3 s"):
        await configure_team(town.bus()[0], ConfigureTeam("news", "priority"), LoopClock(), 3)
