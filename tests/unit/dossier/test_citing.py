"""How sources are numbered."""

from __future__ import annotations

from folkmoot.dossier.citing import Citations
from folkmoot.dossier.facts import Fact

A, B, C = (Fact(name, "version", "1", f"{name}-1.dist-info/METADATA#Version") for name in "abc")


def test_the_same_fact_has_the_same_number() -> None:
    cite = Citations()
    assert cite.facts([A, B]) == [1, 2]
    assert cite.facts([B, C, A]) == [2, 3, 1]
    assert [each.subject for each in cite.all] == ["a", "b", "c"]


def test_a_fact_that_differs_only_in_type_is_another() -> None:
    cite = Citations()
    assert cite.facts([A._replace(value=1), A._replace(value=True)]) == [1, 2]


def test_what_there_is_no_room_for_is_counted_once() -> None:
    size = len(A.source) + 100
    cite = Citations(bytes_max=2 * size)
    assert cite.facts([A, B, C, C]) == [1, 2]
    assert len(cite.left_out) == 1
    assert sum(len(each.model_dump_json()) for each in cite.all) <= 2 * size
    assert cite.facts([A]) == [1]
