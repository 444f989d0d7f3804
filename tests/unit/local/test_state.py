from __future__ import annotations

import os
from pathlib import Path

import pytest

from folkmoot.local import state
from folkmoot.local.errors import AlreadyRunning, NotWritable
from folkmoot.local.state import Identity, ProcessRecord, State


def record(identity: Identity) -> ProcessRecord:
    return ProcessRecord(
        name="kafka",
        identity=identity,
        address="127.0.0.1:9092",
        port=9092,
        health_path=None,
        log=Path("/data/kafka.log"),
    )


def test_a_living_process_is_found_by_its_identity() -> None:
    found = Identity.of(os.getpid()).find()
    assert found is not None
    assert found.pid == os.getpid()


def test_a_reused_process_id_is_not_taken_for_the_process() -> None:
    mine = Identity.of(os.getpid())
    earlier = mine.model_copy(update={"started": mine.started - 60})
    assert earlier.find() is None


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    me = Identity.of(os.getpid())
    run = State(supervisor=me, processes=(record(me),))
    run.write(tmp_path)
    assert state.read(tmp_path) == run
    state.forget(tmp_path)
    assert state.read(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", '{"supervisor": 7}'])
def test_a_state_that_cannot_be_read_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    assert state.read(tmp_path) is None


def test_a_directory_has_one_holder_at_a_time(tmp_path: Path) -> None:
    with state.claimed(tmp_path / "local"):
        second = state.claimed(tmp_path / "local")
        with pytest.raises(AlreadyRunning, match="folkmoot down"):
            second.__enter__()
    with state.claimed(tmp_path / "local"):
        pass


def test_a_directory_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    claim = state.claimed(tmp_path / "file" / "local")
    with pytest.raises(NotWritable, match=r"file/local cannot be written to: .*\. Choose another"):
        claim.__enter__()
