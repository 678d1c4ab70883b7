"""`-f` and `--set`."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from controlplane.cli.input import read_document


def test_the_file_is_the_ground_and_assignments_go_on_top(tmp_path: Path) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text("name: acme\nspec:\n  compute:\n    provider: docker\n    config: {image: web, ports: [{a: 1}]}\n")
    assignments = ["spec.compute.config.image=web:2", "spec.compute.config.ports.0.a=2", "labels.tier=gold"]
    assert read_document(file, assignments) == {
        "name": "acme",
        "spec": {"compute": {"provider": "docker", "config": {"image": "web:2", "ports": [{"a": 2}]}}},
        "labels": {"tier": "gold"},
    }


@pytest.mark.parametrize(
    ("assignment", "document"),
    [
        ("a=1", {"a": 1}),
        ("a=true", {"a": True}),
        ("a=null", {"a": None}),
        ("a=", {"a": None}),
        ("a='1'", {"a": "1"}),
        ("a=b=c", {"a": "b=c"}),
        ("a=[x, {y: 1}]", {"a": ["x", {"y": 1}]}),
        ("a.b.c=x", {"a": {"b": {"c": "x"}}}),
        (r"labels.example\.com/x=y", {"labels": {"example.com/x": "y"}}),
    ],
)
def test_values_are_yaml_and_dots_are_levels(assignment: str, document: dict[str, Any]) -> None:
    assert read_document(None, [assignment]) == document


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("2024-05-01", "2024-05-01"),
        ("on", "on"),
        ("no", "no"),
        ("12:30", "12:30"),
        ("1.10", "1.10"),
        ("8080", "8080"),
        ("007", "007"),
        ("1_000", "1_000"),
        ("1e3", "1e3"),
        ("true", "true"),
        ("'8080'", "8080"),
        ('"a\\nb"', "a\nb"),
        ("~", None),
    ],
)
def test_text_is_sent_as_it_was_written(tmp_path: Path, written: str, sent: str | None) -> None:
    file = tmp_path / "acme.yaml"
    file.write_text(
        f"annotations: {{contract-start: {written} }}\nspec: {{compute: {{config: {{env: {{X: {written} }}}}}}}}\n"
    )
    document = read_document(file, [f"labels.a={written}", f"spec.compute.config.command=[serve, {written}]"])
    assert document["annotations"]["contract-start"] == sent
    assert document["spec"]["compute"]["config"] == {"env": {"X": sent}, "command": ["serve", sent]}
    assert document["labels"]["a"] == sent


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("2024-05-01", "2024-05-01"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("1.10", 1.1),
        ("8080", 8080),
        ("0x10", 16),
        ("true", True),
    ],
)
def test_elsewhere_a_number_is_a_number_and_a_date_is_text(written: str, sent: object) -> None:
    assert read_document(None, [f"a={written}"]) == {"a": sent}


def test_anchors_and_merges(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\n8080: on\n")
    assert read_document(file, []) == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": {"x": 1, "y": 2},
        "8080": "on",
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("spec: {a: 1, a: 2}", "spec.a is there twice"),
        ("a: .inf", "a: '.inf' is a float"),
        ("a: !!binary aGk=", "put it in quotes"),
        ("a: &a [*a]", "contains itself"),
        ("a: 1\n---\nb: 2\n", "has 2 documents: `landlord tenant apply`"),
    ],
)
def test_what_json_does_not_have_is_refused_by_name(tmp_path: Path, content: str, says: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(content)
    with pytest.raises(typer.BadParameter, match=re.escape(says)):
        read_document(file, [])


@pytest.mark.parametrize("assignments", [["a"], ["=x"], ["a={"], ["a=[1]", "a.5=x"], ["a=1", "a.b=2"]])
def test_nonsense_is_a_usage_error(assignments: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        read_document(None, assignments)


@pytest.mark.parametrize("content", ["- a", "a: [", "\x00"])
def test_a_file_must_be_one_mapping(tmp_path: Path, content: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(content)
    with pytest.raises(typer.BadParameter):
        read_document(file, [])
    with pytest.raises(typer.BadParameter, match="cannot be read"):
        read_document(tmp_path / "missing.yaml", [])
