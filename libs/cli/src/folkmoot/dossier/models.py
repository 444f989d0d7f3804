"""What travels between the steps of the job. All of it is JSON."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from folkmoot.dossier.licences import STRICTNESS, Basis, Family


class Model(BaseModel):
    """A frozen model that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Task(Model):
    """What the dossier's team is asked: where to write, and what to pretend."""

    out: str
    shards: int = Field(default=6, ge=1, le=1_000)
    fail: Literal["write", "verify"] | None = None
    flaky: bool = False
    pace_ms: int = Field(default=0, ge=0, le=10_000)


class Shard(Model):
    """The distributions that one research step reads."""

    names: list[str]
    flaky: bool = False
    pace_ms: int = 0


class ShardRead(Model):
    """What a research step has read. The facts themselves are in the shared set."""

    packages: int
    facts: int
    pages: int
    bytes: int


class Problem(Model):
    """A requirement that is not met, or what could not be read."""

    package: str
    requirement: str
    found: str | None
    source: str


class Package(Model):
    """What was concluded about one distribution.

    `bytes` is None where no size could be read. `users` and `needs` are direct; `reach`,
    `dependants` and `closure_bytes` count what is reached through others as well. `optional_for`
    names the extras, such as `package[extra]`, that nothing asks for, but that need it and are here
    in full.
    """

    name: str
    version: str
    summary: str
    licence: str
    family: Family
    basis: Basis
    bytes: int | None
    native: int
    editable: bool
    needs: list[str]
    users: list[str]
    optional_for: list[str]
    reach: int
    dependants: int
    closure_bytes: int


class Analysis(Model):
    """What was concluded about all of them, and from how many distinct facts."""

    facts: int
    packages: list[Package]
    missing: list[Problem]
    conflicts: list[Problem]
    unreadable: list[Problem]
    families: dict[str, int]

    @property
    def by_name(self) -> dict[str, Package]:
        """The packages by name."""
        return {package.name: package for package in self.packages}

    @property
    def bytes(self) -> int:
        """The size of everything installed, as far as it is known."""
        return sum(package.bytes or 0 for package in self.packages)

    @property
    def unmet(self) -> list[Problem]:
        """The requirements that are not met."""
        return [*self.conflicts, *self.missing]

    @property
    def to_review(self) -> list[Package]:
        """The packages whose licence a person should look at, the strictest first."""
        review = [package for package in self.packages if package.family != "permissive"]
        return sorted(review, key=lambda package: (-STRICTNESS.index(package.family), package.name))

    @property
    def native(self) -> list[Package]:
        """The packages with native code."""
        return [package for package in self.packages if package.native]


class Citation(Model):
    """What a numbered claim rests on: that the source says this of the subject."""

    number: int
    subject: str
    predicate: str
    value: Any
    source: str


class Finding(Model):
    """One of the five most useful sentences, and the citations it rests on."""

    sentence: str
    citations: list[int] = []


class Draft(Model):
    """The report as written."""

    markdown: str
    html: str
    findings: list[Finding]
    citations: list[Citation]


class Verdict(Model):
    """What the verifier found: that every citation holds."""

    checked: int


class Dossier(Model):
    """The task's result."""

    markdown: str
    html: str
    findings: list[str]
    packages: int
    facts: int
    verified: int
