"""The results of benchmarks: their form, what got slower, and the pictures of them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import __main__ as every
from benchmarks import compare, flame, plots, profile
from benchmarks import results as of
from benchmarks.results import Result

GET = Result("reads", "get", 3.0, "ms", 1.5, 2.0, "abc", "2026-12-01T12:00:00+00:00")
RATE = Result("reads", "get at once", 500.0, "1/s", 1000.0, 0.5, "abc", GET.at)
SQL = Result("statements", "sql_create", 5, "statements", None, None, "abc", GET.at)
ALONE = Result("rest", "all cpu", 8.0, "%", None, None, "abc", GET.at)
BASE = [GET, RATE, SQL, ALONE]


def file(path: Path, results: list[Result]) -> str:
    path.write_text("".join(json.dumps(asdict(one)) + "\n" for one in results))
    return str(path)


def test_a_benchmarks_own_line_is_one_result_for_each_figure() -> None:
    line = {"metric": "get", "unit": "ms", "n": 9, "p50": 3.0, "p99": 9.0, "tenants": 50, "floor_p50": 1.5, "ratio": 2}
    assert list(of.results("reads", {**line, "per_second": 500, "floor_per_second": 1000})) == [
        Result("reads", "get tenants=50", 3.0, "ms", 1.5, 2.0),
        Result("reads", "get tenants=50 p99", 9.0, "ms"),
        Result("reads", "get tenants=50 at once", 500, "1/s", 1000, 0.5),
    ]
    assert [*of.results("rest", {"metric": "rest", "kind": "raylet", "unit": "% of a core", "cpu": 0.5})] == [
        Result("rest", "rest raylet cpu", 0.5, "% of a core")
    ]
    assert [*of.results("statements", {"metric": "sql", "unit": "statements", "n": 5})] == [
        Result("statements", "sql", 5, "statements")
    ]


def test_what_is_written_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(of, "RESULTS", tmp_path)
    monkeypatch.setattr(of, "commit", lambda: "abc")
    of.write("reads", [{"metric": "get", "unit": "ms", "p50": 3.0, "floor_p50": 1.5}])
    (written,) = of.read(tmp_path)
    assert replace(written, at=GET.at) == GET
    assert set(json.loads(capsys.readouterr().out)) == {
        *("bench", "line", "value", "unit", "floor", "ratio", "commit", "at")
    }


def test_of_several_runs_the_best_counts_and_the_newest_commit_is_the_run() -> None:
    slow, later = replace(GET, value=2.0, ratio=4.0), replace(GET, commit="def", at="2026-12-02T12:00:00+00:00")
    assert of.best([slow, GET, RATE, replace(RATE, ratio=0.4)]) == {GET.name: GET, RATE.name: RATE}
    assert of.newest([GET, later, RATE]) == [later]
    assert of.newest([]) == []


@pytest.mark.parametrize(
    ("run", "slower"),
    [
        ([GET, RATE, SQL, ALONE], []),
        ([replace(GET, value=30.0, floor=15.0)], []),
        ([replace(GET, ratio=2.4)], []),
        ([replace(GET, ratio=2.6)], ["slower    reads get: 2 of its floor, now 2.6"]),
        ([replace(RATE, ratio=0.3)], ["slower    reads get at once: 0.5 of its floor, now 0.3"]),
        ([replace(RATE, ratio=0.9)], []),
        ([replace(SQL, value=6)], ["slower    statements sql_create: 5 statements, now 6"]),
        ([replace(ALONE, value=80.0)], []),
    ],
)
def test_what_got_slower(
    run: list[Result], slower: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = [one for one in BASE if one.name not in {other.name for other in run}]
    code = compare.main([file(tmp_path / "base", BASE), file(tmp_path / "run", rest + run)])
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if line.startswith("slower")] == slower
    assert code == bool(slower)
    assert len(said) == len(BASE)


def test_a_line_that_is_gone_is_a_reason_to_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = file(tmp_path / "base", BASE)
    assert compare.main([base, file(tmp_path / "run", [RATE])]) == 1
    assert "missing   reads get" in capsys.readouterr().out.splitlines()
    assert compare.main([base, file(tmp_path / "other", [ALONE])]) == 0


def test_what_cannot_be_compared_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = file(tmp_path / "base", BASE)
    (tmp_path / "odd").write_text('{"metric": "get"}\n')
    assert compare.main([str(tmp_path / "none"), base]) == 2
    assert compare.main([base, str(tmp_path / "odd")]) == 2
    assert compare.main([base, file(tmp_path / "other", [replace(GET, bench="other")])]) == 2
    said = capsys.readouterr().err
    assert "odd:1 is no result" in said
    assert "nothing to compare" in said


def test_a_picture_has_each_line_its_value_and_its_floor() -> None:
    (name, picture), *others = plots.pictures([GET, RATE, replace(GET, line="<list>", floor=None)]).items()
    tree = ElementTree.fromstring(picture)
    texts = [element.text for element in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert (name, others) == ("bench-reads.svg", [])
    assert texts[:3] == ["ms (less is better)", "get", "3 (floor 1.5)"]
    assert "<list>" in texts
    assert "1/s (more is better)" in texts
    assert len([*tree.iter("{http://www.w3.org/2000/svg}line")]) == 2


def test_pictures_are_drawn_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn = file(tmp_path / "run", [GET, SQL, replace(GET, line="get p99")])
    assert plots.main([drawn, "--into", str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / f"bench-{name}.svg") for name in ("reads", "statements")]
    assert "p99" not in (tmp_path / "bench-reads.svg").read_text()
    assert plots.main([str(tmp_path / "none")]) == 2


def test_one_that_fails_is_told_and_the_others_follow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[tuple[str, list[str]]] = []

    def fails(words: Sequence[str]) -> int:
        raise RuntimeError("no engine")

    def runs(words: Sequence[str]) -> int:
        given.append(("second", list(words)))
        return 0

    monkeypatch.setattr(every, "BENCHMARKS", {"first": (fails, ""), "second": (runs, "--rounds 1")})
    assert every.main(["--tiny"]) == 1
    assert every.main(["second"]) == 0
    assert given == [("second", ["--rounds", "1"]), ("second", [])]
    assert "no engine" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        every.main(["third"])
    assert "no benchmark is called third" in capsys.readouterr().err


def test_the_widest_functions_of_a_recording() -> None:
    way_in = "run (x/loop.py:1);run_asgi (h/httptools_impl.py:2)"
    recorded = ["get (a/b/c/api.py:10);ask (d.py:1) 30", "get (a/b/c/api.py:12) 20", "send (e.py:5) 50"]
    stacks = ["wait (threading.py:1) 900", *(f"{way_in};{stack}" for stack in recorded)]
    assert [tuple(line.values()) for line in profile.shares(stacks)] == [
        ("get (c/api.py)", "% of samples", 50.0, 20.0),
        ("send (e.py)", "% of samples", 50.0, 50.0),
        ("ask (d.py)", "% of samples", 30.0, 30.0),
    ]
    with pytest.raises(ValueError, match="no request"):
        profile.shares(stacks[:1])


def test_a_flame_graph_has_each_function_on_the_one_that_called_it() -> None:
    recorded = ["run_asgi (h/httptools_impl.py:2);get (controlplane/api.py:10);ask (d.py:1) 30"]
    recorded += [
        "run_asgi (h/httptools_impl.py:3);send<x> (e.py:5) 69",
        "run_asgi (h/httptools_impl.py:3);rare (f.py:5) 1",
    ]
    root = flame.tree(profile.requests(recorded), narrowest=0.1)
    [asgi] = root.calls.values()
    assert {name: one.samples for name, one in asgi.calls.items()} == {
        "get (controlplane/api.py)": 30,
        "send<x> (e.py)": 69,
    }
    picture = flame.drawn(root)
    assert ElementTree.fromstring(picture) is not None
    assert "<title>get (controlplane/api.py): 30.0 %</title>" in picture
    assert "<title>send&lt;x&gt; (e.py): 69.0 %</title>" in picture
    assert "rare" not in picture


def test_the_pictures_in_the_docs_are_those_of_what_was_measured() -> None:
    drawn = {path.name: path.read_text() for path in plots.PICTURES.glob("bench-*.svg")}
    assert drawn == plots.pictures(of.read(plots.MEASURED)), f"draw them again: {plots.__doc__}"
    page = (plots.PICTURES.parent / "performance.md").read_text()
    assert [name for name in drawn if f"(img/{name})" not in page] == []
