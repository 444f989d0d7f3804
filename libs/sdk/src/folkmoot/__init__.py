"""Folkmoot: the control plane under multi-agent systems.

This file makes `from folkmoot import Agent` work while `folkmoot.core`, `folkmoot.bus` and the
other packages stay separate distributions: `extend_path` joins the folders of all of them. Names
are looked up when they are first used, so that importing `folkmoot` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import extend_path
from typing import TYPE_CHECKING

__path__ = extend_path(__path__, __name__)

if TYPE_CHECKING:
    from folkmoot.sdk.agent import Agent as Agent
    from folkmoot.sdk.client import Client as Client
    from folkmoot.sdk.context import LeaderContext as LeaderContext
    from folkmoot.sdk.context import StepContext as StepContext
    from folkmoot.sdk.election.lease import Lease as Lease
    from folkmoot.sdk.errors import CannotFork as CannotFork
    from folkmoot.sdk.errors import ControlRefused as ControlRefused
    from folkmoot.sdk.errors import DefinitionError as DefinitionError
    from folkmoot.sdk.errors import ElectionRefused as ElectionRefused
    from folkmoot.sdk.errors import LeadershipLost as LeadershipLost
    from folkmoot.sdk.errors import NoAnswer as NoAnswer
    from folkmoot.sdk.errors import NotAnswered as NotAnswered
    from folkmoot.sdk.errors import Permanent as Permanent
    from folkmoot.sdk.errors import Retryable as Retryable
    from folkmoot.sdk.errors import SagaFailed as SagaFailed
    from folkmoot.sdk.errors import UnknownDefinition as UnknownDefinition
    from folkmoot.sdk.errors import VersionConflict as VersionConflict
    from folkmoot.sdk.saga import Saga as Saga
    from folkmoot.sdk.steps import Budget as Budget
    from folkmoot.sdk.steps import Limit as Limit
    from folkmoot.sdk.steps import Plan as Plan
    from folkmoot.sdk.steps import Retry as Retry
    from folkmoot.sdk.steps import Step as Step
    from folkmoot.sdk.steps import SubSaga as SubSaga
    from folkmoot.sdk.steps import When as When

_MODULES = {
    "Agent": "agent",
    "Budget": "steps",
    "CannotFork": "errors",
    "Client": "client",
    "ControlRefused": "errors",
    "DefinitionError": "errors",
    "ElectionRefused": "errors",
    "LeaderContext": "context",
    "LeadershipLost": "errors",
    "Lease": "election.lease",
    "Limit": "steps",
    "NoAnswer": "errors",
    "NotAnswered": "errors",
    "Permanent": "errors",
    "Plan": "steps",
    "Retry": "steps",
    "Retryable": "errors",
    "Saga": "saga",
    "SagaFailed": "errors",
    "Step": "steps",
    "StepContext": "context",
    "SubSaga": "steps",
    "UnknownDefinition": "errors",
    "VersionConflict": "errors",
    "When": "steps",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'folkmoot' has no attribute {name!r}")
    return getattr(import_module(f"folkmoot.sdk.{_MODULES[name]}"), name)
