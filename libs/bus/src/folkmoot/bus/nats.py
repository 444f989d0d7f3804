"""Gossip on NATS, through nats-py. It reconnects for ever; what is lost meanwhile is lost.

nats-py tells of refused permissions and lost connections only through a callback, long after the
call that was refused has returned: `errors` and `last_error` keep what it said, for readiness and
metrics.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as NatsSubscription
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError, NoRespondersError, NoServersError
from nats.errors import TimeoutError as NatsTimeout

from folkmoot.bus.addresses import without_secrets
from folkmoot.bus.ports import (
    BusUnavailable,
    Gossiped,
    Handler,
    NoResponder,
    RecordTooLarge,
    Refusals,
    Responder,
)
from folkmoot.bus.subjects import check_pattern, check_subject

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 3
RECONNECT_WAIT_S = 0.5
FIRST_RETRY_S = 0.05
FLUSH_TIMEOUT_S = 2
RESPONDERS = "folkmoot"  # the queue group of all who answer: one of them gets each request
FAILED = "Nats-Service-Error"  # the header by which NATS services say that an answer is an error
VIOLATION = "permissions violation"  # how the server's refusals begin


class NatsGossip:
    """The `Gossip` port on NATS.

    `errors` counts what went wrong and `last_error` says what it was last.
    """

    def __init__(self, refusals: Refusals | None = None) -> None:
        self.errors = 0
        self.last_error: str | None = None
        self._refusals = refusals or Refusals()
        self._client = Client()
        self._own: set[Subscribed] = set()

    @classmethod
    async def connect(
        cls,
        servers: Sequence[str],
        *,
        inbox_prefix: str = "_INBOX",
        nkeys_seed_str: str | None = None,
        user_credentials: str | None = None,
        options: Mapping[str, Any] | None = None,
        refusals: Refusals | None = None,
    ) -> NatsGossip:
        """Return a connected gossip.

        Args:
            servers: URLs.
            inbox_prefix: of the subjects that answers come on; permissions may ask for another.
            nkeys_seed_str: the seed of an nkey to sign in with.
            user_credentials: the path of a credentials file to sign in with.
            options: further arguments of nats-py's `connect`, such as `tls`.
            refusals: where to note what the server does not allow.

        Raises:
            BusUnavailable: no server answers, or it lets nobody in.
        """
        gossip = cls(refusals)
        credentials = {"nkeys_seed_str": nkeys_seed_str, "user_credentials": user_credentials}
        settings = {
            "servers": list(servers),
            "connect_timeout": CONNECT_TIMEOUT_S,
            **{name: value for name, value in credentials.items() if value is not None},
            **(options or {}),
        }
        try:
            await _first_contact(settings)
            await gossip._client.connect(
                max_reconnect_attempts=-1,
                inbox_prefix=inbox_prefix.encode(),
                error_cb=gossip._on_error,
                **settings | {"reconnect_time_wait": RECONNECT_WAIT_S},
            )
        except (NatsError, OSError) as error:
            where = ", ".join(without_secrets(server) for server in servers)
            raise BusUnavailable(
                f"No NATS server answers at {where} ({error!r}). Start one, or correct the address "
                "or the credentials."
            ) from error
        return gossip

    @property
    def connected(self) -> bool:
        """Whether a server can be reached now."""
        return self._client.is_connected

    async def publish(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """See the port."""
        check_subject(subject)
        with self._explained(subject, data):
            await self._client.publish(subject, data, headers=dict(headers) if headers else None)

    async def subscribe(self, subject: str, handler: Handler) -> Subscribed:
        """See the port."""

        async def receive(message: Msg) -> None:
            await handler(_gossiped(message))

        return await self._subscribed(subject, receive, queue="")

    async def respond(self, subject: str, responder: Responder) -> Subscribed:
        """See the port. A responder that fails tells so whoever asked."""

        async def receive(message: Msg) -> None:
            try:
                answer, headers = await responder(_gossiped(message)), None
            except Exception as error:
                self.note(error)
                log.exception("The responder on %s failed", message.subject)
                answer, headers = b"", {FAILED: _one_line(repr(error))}
            if message.reply:
                await self._client.publish(message.reply, answer, headers=headers)

        return await self._subscribed(subject, receive, queue=RESPONDERS)

    async def request(self, subject: str, data: bytes, timeout_ms: int) -> bytes:
        """See the port. A responder that fails is reported at once."""
        check_subject(subject)
        try:
            with self._explained(subject, data):
                answer = await self._client.request(subject, data, timeout=timeout_ms / 1000)
        except NoRespondersError:
            raise NoResponder(f"Nobody listens on {subject!r}. Is the service running?") from None
        except NatsTimeout:
            raise NoResponder(f"Nobody answered on {subject!r} within {timeout_ms} ms.") from None
        if answer.headers and FAILED in answer.headers:
            raise NoResponder(f"The responder on {subject!r} failed: {answer.headers[FAILED]}")
        return bytes(answer.data)

    async def close(self) -> None:
        """See the port."""
        if self._client.is_connected:
            for subscription in tuple(self._own):
                await subscription.close()
            try:
                await self._client.flush(timeout=FLUSH_TIMEOUT_S)
            except NatsError as error:
                log.info("NATS: the last messages may be lost: %r", error)
        await _close(self._client)

    def forget(self, subscription: Subscribed) -> None:
        """A subscription ends."""
        self._own.discard(subscription)

    async def _subscribed(
        self, subject: str, receive: Callable[[Msg], Awaitable[None]], queue: str
    ) -> Subscribed:
        check_pattern(subject)
        subscribed = Subscribed(self, receive)
        with self._explained(subject, b""):
            await subscribed.start(self._client, subject, queue)
            await self._arrived()
        self._own.add(subscribed)
        return subscribed

    async def _arrived(self) -> None:
        """Wait until the server has what was sent; others may publish right away.

        The ping of a flush overtakes what nats-py still holds back; that is out when the pong is
        there, so only the second flush says that the server has it.
        """
        try:
            for _ in range(2):
                await self._client.flush(timeout=FLUSH_TIMEOUT_S)
        except NatsTimeout:
            log.info("NATS: what was sent arrives when the server is back")

    @contextmanager
    def _explained(self, subject: str, data: bytes) -> Iterator[None]:
        try:
            yield
        except MaxPayloadError as error:
            raise RecordTooLarge(
                f"A message of {len(data):,} bytes for {subject!r} is over the server's limit of "
                f"{self._client.max_payload:,}. Send less, or send a reference."
            ) from error
        except (NoRespondersError, NatsTimeout):
            raise
        except (NatsError, OSError) as error:
            raise BusUnavailable(
                f"NATS cannot be reached now ({error!r}). Start it again, or connect anew."
            ) from error

    def note(self, error: Exception) -> None:
        """Keep what went wrong, where readiness and metrics find it."""
        self.errors += 1
        self.last_error = str(error) or repr(error)

    async def _on_error(self, error: Exception) -> None:
        self.note(error)
        if VIOLATION in str(error).lower():
            self._refusals.note("nats", f"NATS does not allow it: {error}")
        log.info("NATS: %s", self.last_error)


class Subscribed:
    """The `Subscription` port on NATS."""

    def __init__(self, gossip: NatsGossip, receive: Callable[[Msg], Awaitable[None]]) -> None:
        self._gossip = gossip
        self._receive = receive
        self._subscription: NatsSubscription | None = None
        self._worker: asyncio.Task[Any] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing: asyncio.Task[None] | None = None

    async def start(self, client: Client, subject: str, queue: str) -> None:
        """Ask the server for messages."""
        self._subscription = await client.subscribe(subject, queue=queue, cb=self._handle)

    async def close(self) -> None:
        """See the port. A handler may close its own subscription."""
        if self._closing is None:
            self._gossip.forget(self)
            self._closing = asyncio.create_task(self._close())
        if asyncio.current_task() is not self._worker:
            await asyncio.wait([self._closing])

    async def _handle(self, message: Msg) -> None:
        if self._closing is not None:
            return
        self._worker = asyncio.current_task()
        self._idle.clear()
        try:
            await self._receive(message)
        except Exception as error:
            self._gossip.note(error)
            log.exception("A handler failed on %s", message.subject)
        finally:
            self._idle.set()

    async def _close(self) -> None:
        await self._idle.wait()  # unsubscribing cancels the handler
        assert self._subscription is not None
        try:
            await self._subscription.unsubscribe()
        except NatsError as error:
            log.debug("unsubscribing: %r", error)


async def _close(client: Client) -> None:
    """Close `client`; nats-py stops half-way if it cannot send what it still holds."""
    try:
        await client.close()
    except OSError as error:
        log.info("NATS: the last messages are lost: %r", error)
        client._pending_data_size = 0
        client._status = Client.DISCONNECTED
        await client.close()


async def _first_contact(settings: Mapping[str, Any]) -> None:
    """Try each server, since reconnecting for ever includes the first connection.

    nats-py waits for ever after a certificate that does not hold, so it is not waited for.
    """
    causes: list[Exception] = []
    distrusted = asyncio.Event()

    async def keep(error: Exception) -> None:
        causes.append(error)
        if isinstance(error, ssl.SSLError):
            distrusted.set()

    once = {"max_reconnect_attempts": 1, "reconnect_time_wait": FIRST_RETRY_S, "error_cb": keep}
    contact = asyncio.create_task(nats.connect(**{**settings, **once}))
    distrust = asyncio.create_task(distrusted.wait())
    try:
        await asyncio.wait([contact, distrust], return_when=asyncio.FIRST_COMPLETED)
        if not contact.done():
            raise NatsError(repr(causes[-1]))
        await (await contact).close()
    except NoServersError as error:
        raise NatsError(repr(causes[-1] if causes else error)) from error
    finally:
        contact.cancel()
        distrust.cancel()


def _gossiped(message: Msg) -> Gossiped:
    return Gossiped(message.subject, message.data, message.headers or {})


def _one_line(text: str) -> str:
    return " ".join(text.split())  # a header ends where the line does
