"""Users and access lists of Kafka, made what they should be by an administrator.

Doing it again changes nothing but the salts. What a user no longer needs is taken from it; users
and lists of others are left alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import NoError, for_code
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from folkmoot.bus.kafka.brokers import Brokers
from folkmoot.bus.kafka.clients import close_client
from folkmoot.bus.ports import BusError
from folkmoot.contracts.access import Grant

RESOURCES = {"topic": 2, "group": 3}
OPERATIONS = {"Read": 3, "Write": 4, "Describe": 8, "DescribeConfigs": 10}
ANY, LITERAL, ALLOW, EVERYWHERE = 1, 3, 3, "*"
"""Kafka's numbers for them: `ResourceType`, `AclOperation`, `PatternType`, `AclPermissionType`."""

SCRAM_SHA_512, ITERATIONS, SALT_BYTES = 2, 4096, 24
"""As many iterations as Kafka's own tools take; passwords here are random, not chosen."""


class Entry(NamedTuple):
    """One line of an access list, in Kafka's numbers."""

    resource: int
    name: str
    operation: int


class _Answer(Response):  # type: ignore[misc] # aiokafka has no types
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Alter(RequestStruct):  # type: ignore[misc]
    """AlterUserScramCredentials (KIP-554), which aiokafka does not have."""

    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(
                ("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)
            ),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _SetPasswords(Request[_Alter]):  # type: ignore[misc]
    API_KEY = 51

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._passwords = passwords

    def build(self, request_struct_class: type[_Alter]) -> _Alter:
        wanted = [_upsertion(user, secret) for user, secret in self._passwords.items()]
        return request_struct_class([], wanted, {})


def _upsertion(user: str, password: str) -> tuple[object, ...]:
    salt = os.urandom(SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return (user, SCRAM_SHA_512, ITERATIONS, salt, salted, {})


async def set_access(
    brokers: Brokers, passwords: Mapping[str, str], grants: Mapping[str, Sequence[Grant]]
) -> tuple[int, int]:
    """Let each user of `grants` do exactly that; return how many lines were added and taken away.

    Raises:
        BusUnavailable: no broker answers.
        BusError: the brokers keep no access lists, or this is no administrator.
    """
    with brokers.explained():
        client = AIOKafkaAdminClient(**brokers.client())
        try:
            await client.start()
            await _set_passwords(client, passwords)
            changes = [await _set_list(client, user, wanted) for user, wanted in grants.items()]
        finally:
            await asyncio.shield(close_client(client._client))
    return sum(added for added, _ in changes), sum(taken for _, taken in changes)


async def _set_passwords(client: AIOKafkaAdminClient, passwords: Mapping[str, str]) -> None:
    if not passwords:
        return
    answer = await client._send_to_controller(_SetPasswords(passwords))
    for user, code, said, _tags in answer.results:
        _check(code, said, f"the password of {user}")


async def _set_list(
    client: AIOKafkaAdminClient, user: str, grants: Sequence[Grant]
) -> tuple[int, int]:
    wanted = {
        Entry(RESOURCES[grant.resource], grant.name, OPERATIONS[operation])
        for grant in grants
        for operation in grant.operations
    }
    existing = await _list(client, user)
    missing, excess = wanted - existing, existing - wanted
    await _send_each(client, user, missing, CreateAclsRequest, "creation_responses")
    await _send_each(client, user, excess, DeleteAclsRequest, "filter_responses")
    return len(missing), len(excess)


async def _list(client: AIOKafkaAdminClient, user: str) -> set[Entry]:
    """Return the lines that allow `user` something by its whole name."""
    asked = DescribeAclsRequest(ANY, None, LITERAL, f"User:{user}", None, ANY, ALLOW)
    answer = await client._send_request(asked)
    _check(answer.error_code, answer.error_message, f"the access list of {user}")
    return {
        Entry(kind, name, operation)
        for kind, name, _pattern, lines in answer.resources
        for _principal, _host, operation, _permission in lines
    }


async def _send_each(
    client: AIOKafkaAdminClient, user: str, entries: Collection[Entry], request: Any, outcomes: str
) -> None:
    for entry in sorted(entries):
        asked = request(
            entry.resource, entry.name, LITERAL, f"User:{user}", EVERYWHERE, entry.operation, ALLOW
        )
        answer = await client._send_to_controller(asked)
        for code, said, *_ in answer.get_item(outcomes):
            _check(code, said, f"a line of the access list of {user}")


def _check(code: int, said: str | None, what: str) -> None:
    error = for_code(code)
    if error is not NoError:
        raise BusError(f"Kafka did not set {what}: {said or error.__name__}.")
