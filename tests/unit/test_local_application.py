"""What is said of an application that is not ready."""

import httpx
import pytest

from controlplane.errors import Unavailable
from controlplane.local.application import Application, failing


def test_each_bad_check_is_named_with_its_reason() -> None:
    body = {
        "checks": {
            "database": {"ok": True, "detail": "answers"},
            "ray": {"ok": False, "detail": "no answer"},
            "supervisor": {"ok": False, "detail": ""},
        }
    }
    assert failing(httpx.Response(503, json=body)) == "ray: no answer; supervisor: not good"


@pytest.mark.parametrize(
    "answer", [httpx.Response(404, text="Path not found"), httpx.Response(404, json=[]), httpx.Response(404, json={})]
)
def test_an_answer_of_another_kind_is_told_by_its_status(answer: httpx.Response) -> None:
    assert failing(answer) == "/readyz is 404"


def test_nobody_there_is_said_once_and_then_raised() -> None:
    said: list[str] = []
    with pytest.raises(Unavailable, match="not ready after"):
        Application("http://127.0.0.1:1").await_ready(0.25, said.append)
    assert len(said) == 1
    assert "http://127.0.0.1:1" in said[0]
