"""The last decisions of an owner, kept for operators."""

import asyncio
import json
from datetime import timedelta
from typing import Any

from actors.tenant.replay import KEPT, LONGEST, Replay
from controlplane.lifecycle.decisions import Decision, Finish, MarkUnhealthy, Promote
from controlplane.model import ExecutionState
from tests.unit.builders import NOW, execution, rows, tenant

ONE = execution(state=ExecutionState.QUEUED)


def seen(**values: Any) -> Any:
    return rows(tenant(**values), ONE)


def test_a_decision_is_kept_with_what_it_was_about_and_the_versions_of_the_rows() -> None:
    replay = Replay()
    replay.decided(seen(version=7, epoch=3, fence=2), Decision(Promote(ONE)))
    (entry,) = replay.read()
    assert (entry["number"], entry["at"], entry["what"], entry["why"]) == (
        1,
        NOW.isoformat(),
        "Promote",
        {"execution": ONE.id},
    )
    assert {"version": 7, "epoch": 3, "fence": 2, "queued": ONE.id, "active": None}.items() <= entry["rows"].items()
    assert replay.rows["version"] == 7


def test_every_kind_of_word_is_plain_and_bounded() -> None:
    replay = Replay()
    replay.decided(seen(), Decision(Finish(ONE, ExecutionState.FAILED, "x" * 5000)))
    (entry,) = replay.read()
    assert entry["why"] == {"execution": ONE.id, "outcome": "failed", "message": "x" * LONGEST}
    assert json.loads(json.dumps(entry)) == entry


def test_the_same_decision_again_is_counted_and_another_one_is_new() -> None:
    replay = Replay()
    for seconds in (1.0, 0.5, 0.25):
        replay.decided(seen(), Decision(None, look_again=seconds))
    replay.decided(seen(version=9), Decision(None, look_again=1.0))
    assert [(entry["number"], entry["what"], entry["times"]) for entry in replay.read()] == [
        (1, "Wait", 3),
        (2, "Wait", 1),
    ]
    assert [entry["number"] for entry in replay.read(after=1)] == [2]


def test_the_oldest_goes_first() -> None:
    replay = Replay()
    for number in range(KEPT + 5):
        replay.decided(seen(), Decision(MarkUnhealthy(str(number))))
    kept = replay.read()
    assert (len(kept), kept[0]["number"], kept[-1]["number"]) == (KEPT, 6, KEPT + 5)


async def test_who_waits_for_news_hears_of_the_next_decision() -> None:
    replay = Replay()
    assert await replay.news(0, 0.001) == []
    waiting = asyncio.create_task(replay.news(0, 60))
    await asyncio.sleep(0)
    replay.step(ONE.id, "apply_compute", "failed", "no such image")
    async with asyncio.timeout(30):
        (entry,) = await waiting
    assert entry["why"] == {
        "execution": ONE.id,
        "step": "apply_compute",
        "state": "failed",
        "error": "no such image",
    }
    assert await replay.news(0, 60) == [entry], "what is there needs no waiting"


def test_times_are_those_of_the_rows() -> None:
    replay = Replay()
    replay.decided(seen(), Decision(None))
    later = rows(tenant(), ONE, now=NOW + timedelta(seconds=5))
    replay.decided(later, Decision(None))
    (entry,) = replay.read()
    assert (entry["at"], entry["last_at"]) == (NOW.isoformat(), (NOW + timedelta(seconds=5)).isoformat())
