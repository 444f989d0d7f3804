"""Access lists of Kafka, permissions of NATS, and the page on both, from the registries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from folkmoot.contracts.access import USERS, Cast, kafka_grants, nats_permissions
from folkmoot.dossier.agents import TEAM, agents

CAST = Cast(tuple(agent.name for agent in agents), (TEAM,))
"""Who plays in the Compose file: the team of the demo."""

MADE = "Made from the registries of topics and subjects by `make artefacts`. Do not edit."

PAGE = """\
# Who may do what on the brokers

<!-- {made} -->

Every service is a user of its own on Kafka and on NATS; `agent-worker` stands for the workers of a
deployment, `user` for programs outside that submit tasks. Nobody may create, alter or delete
anything; topics are made and lists are set by an administrator, before anything runs. The agents
and the team named here are the demo's.

## Kafka

Whoever may read or write a topic may see its description; services may see its settings as well. A
group is where the progress of a log's leader is made visible.

| topic or group | {users} |
| --- | {rules} |
{kafka}

r: read, w: write.

## NATS

| subject | {users} |
| --- | {rules} |
{nats}

p: publish, s: subscribe. Whoever subscribes to queries may answer them.
"""


def files() -> dict[str, str]:
    """Return what each generated file should hold."""
    return {
        "deploy/kafka/access-lists.txt": "\n".join([f"# {MADE}", *_kafka_lines(), ""]),
        "deploy/nats/permissions.conf": "\n".join([f"# {MADE}", *_nats_lines(), ""]),
        "docs/reference/access.md": _page(),
    }


def _kafka_lines() -> Iterator[str]:
    for user in USERS:
        yield ""
        for grant in kafka_grants(user, CAST):
            operations = ",".join(grant.operations)
            yield f"User:{user}  {grant.resource}  {grant.name}  {operations}"


def nkey_variable(user: str) -> str:
    """Return the name of the variable that holds the public half of a user's nkey."""
    return f"{user.replace('-', '_').upper()}_NKEY"


def _nats_lines() -> Iterator[str]:
    yield "# The public halves of nkeys come from the environment: ELECTION_NKEY and so on."
    yield "authorization: {"
    yield "  users: ["
    for user in USERS:
        may = nats_permissions(user)
        yield f"    {{ nkey: ${nkey_variable(user)}, permissions: {{"
        yield f"        publish: {{ allow: [{_quoted(may.publish)}] }},"
        yield f"        subscribe: {{ allow: [{_quoted(may.subscribe)}] }},"
        yield f"        allow_responses: {str(may.answers).lower()}"
        yield "    } },"
    yield f"    {{ nkey: ${nkey_variable('admin')}, permissions: {{"
    yield '        publish: { deny: [">"] }, subscribe: { deny: [">"] }'
    yield "    } }"
    yield "  ]"
    yield "}"


def _quoted(subjects: Sequence[str]) -> str:
    return ", ".join(f'"{subject}"' for subject in subjects)


def _page() -> str:
    return PAGE.format(
        made=MADE,
        users=" | ".join(USERS),
        rules=" | ".join("---" for _ in USERS),
        kafka="\n".join(_kafka_rows()),
        nats="\n".join(_nats_rows()),
    )


def _kafka_rows() -> Iterator[str]:
    may = {(user, grant.name, grant.resource): grant for user in USERS for grant in
           kafka_grants(user, CAST)}  # fmt: skip
    for name, resource in sorted({(name, kind) for _, name, kind in may}):
        cells = []
        for user in USERS:
            grant = may.get((user, name, resource))
            held = () if grant is None else grant.operations
            cells.append(
                "".join(sign for op, sign in (("Read", "r"), ("Write", "w")) if op in held)
            )
        shown = f"`{name}`" if resource == "topic" else f"group `{name}`"
        yield f"| {shown} | {' | '.join(cells)} |"


def _nats_rows() -> Iterator[str]:
    may = {user: nats_permissions(user) for user in USERS}
    subjects = {s for each in may.values() for s in (*each.publish, *each.subscribe)}
    for subject in sorted(subjects):
        cells = [
            "p" * (subject in may[user].publish) + "s" * (subject in may[user].subscribe)
            for user in USERS
        ]
        yield f"| `{subject}` | {' | '.join(cells)} |"
