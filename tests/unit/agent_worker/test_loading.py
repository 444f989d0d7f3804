"""Which agents a worker hosts, and what it says to who names none."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from folkmoot.agent_worker import __main__ as process
from folkmoot.agent_worker.bootstrap import load_agents
from folkmoot.runtime.process import EXIT_MISCONFIGURED
from folkmoot.sdk.agent import Agent
from folkmoot.sdk.errors import DefinitionError


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("agents_of_a_test")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def test_one_agent_or_any_iterable_of_them(module: ModuleType) -> None:
    a, b = Agent("a", team="t"), Agent("b", team="t")
    for given, loaded in ((a, [a]), ([a, b], [a, b]), ({a.name: a}.values(), [a])):
        module.app = given  # type: ignore[attr-defined]
        assert load_agents("agents_of_a_test:app") == loaded
    module.app = (each for each in (a, b))  # type: ignore[attr-defined]
    assert load_agents("agents_of_a_test:app") == [a, b]


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("", "'' does not say which agents: write MODULE:NAME"),
        ("agents_of_a_test", "does not say which agents"),
        (":app", "does not say which agents"),
        ("no_such_module_at_all:app", "cannot import 'no_such_module_at_all': No module"),
        ("agents_of_a_test:nothing", "is no Agent and no list of Agents"),
        ("agents_of_a_test:number", "is no Agent and no list of Agents"),
        ("agents_of_a_test:words", "is no Agent and no list of Agents"),
        ("agents_of_a_test:empty", "is no Agent and no list of Agents"),
    ],
)
def test_a_wrong_reference_is_told(module: ModuleType, reference: str, sentence: str) -> None:
    vars(module).update(number=7, words=["a"], empty=[])
    with pytest.raises(DefinitionError) as problem:
        load_agents(reference)
    assert sentence in str(problem.value)


def test_a_process_without_agents_ends_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def misconfigured(*_: object) -> int:
        raise DefinitionError("'' does not say which agents")

    monkeypatch.setattr(process, "run", misconfigured)
    assert process.main() == EXIT_MISCONFIGURED
    assert capsys.readouterr().err == "'' does not say which agents\n"
