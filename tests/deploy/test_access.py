"""The access lists that are made from the registries give away nothing that is another's."""

from __future__ import annotations

import re

import pytest

from deploy.artefacts.access import CAST
from folkmoot.contracts.access import OUTSIDER, USERS, WORKER, kafka_grants, nats_permissions
from folkmoot.contracts.topics import SERVICES


def may(user: str, operation: str) -> set[str]:
    return {
        grant.name
        for grant in kafka_grants(user, CAST)
        if grant.resource == "topic" and operation in grant.operations
    }


def own(user: str) -> tuple[str, ...]:
    return ("folkmoot.agent.", "folkmoot.team.") if user == WORKER else (f"folkmoot.{user}.",)


@pytest.mark.parametrize("user", USERS)
def test_a_log_is_written_by_its_own_service_only(user: str) -> None:
    written = {name for name in may(user, "Write") if re.search(r"\.(log|snapshots)$", name)}
    assert written == {name for name in written if name.startswith(own(user))}
    assert bool(written) == (user != OUTSIDER)


@pytest.mark.parametrize("user", USERS)
def test_an_inbox_is_read_by_its_own_service_only(user: str) -> None:
    read = {name for name in may(user, "Read") if name.endswith(".inbox")}
    assert read == {name for name in read if name.startswith(own(user))}
    assert bool(read) == (user != OUTSIDER)


@pytest.mark.parametrize("user", USERS)
def test_nobody_may_make_change_or_delete_anything(user: str) -> None:
    held = {operation for grant in kafka_grants(user, CAST) for operation in grant.operations}
    assert held <= {"Read", "Write", "Describe", "DescribeConfigs"}


def test_agents_of_another_deployment_are_nobodys_business() -> None:
    assert not any("stranger" in name for user in USERS for name in may(user, "Read"))
    assert "folkmoot.agent.researcher.log" in may("event-store", "Read")


@pytest.mark.parametrize("user", USERS)
def test_answers_come_where_nobody_else_listens(user: str) -> None:
    inboxes = {s for s in nats_permissions(user).subscribe if s.startswith("_INBOX")}
    assert inboxes == {f"_INBOX.{user}.>"}
    assert not any(">" in subject for subject in nats_permissions(user).publish)


@pytest.mark.parametrize("user", SERVICES)
def test_a_service_speaks_in_its_own_name_only(user: str) -> None:
    said = {s for s in nats_permissions(user).publish if s.startswith("folkmoot.announce.members")}
    assert said == {f"folkmoot.announce.members.{user}"}
    assert not any("gossip" in s for s in nats_permissions(user).publish)
