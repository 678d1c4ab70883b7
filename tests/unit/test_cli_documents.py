"""`-f` and `--set`."""

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
