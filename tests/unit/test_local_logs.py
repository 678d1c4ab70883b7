"""What a record becomes, and where it goes."""

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.local.logs import Console, Json, configure
from controlplane.settings import Settings

HOSTILE = 'one\ntwo\r{"status": 200}\x1b[31m\u202e\u2028 ü'


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    root = logging.getLogger()
    before = list(root.handlers)
    yield
    for handler in [one for one in root.handlers if one not in before]:
        root.removeHandler(handler)
        handler.close()


def record(message: str = "%s", *arguments: object, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("landlord.test").makeRecord(
        "landlord.test", logging.WARNING, __file__, 1, message, arguments, None, extra=extra
    )
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        made.exc_info = sys.exc_info()
    return made


def test_json_is_one_line_of_ascii_with_what_was_given() -> None:
    text = Json("api").format(record("%s", HOSTILE, path=HOSTILE, nothing=None, _of_a_library=1))
    assert text.isascii()
    assert text.isprintable()
    line = json.loads(text)
    assert (line["level"], line["logger"], line["process"]) == ("warning", "landlord.test", "api")
    assert line["message"] == line["path"] == HOSTILE
    assert line["error"].startswith("Traceback")
    assert not {"nothing", "_of_a_library", "_ray_timestamp_ns"} & line.keys()
    assert line["time"].endswith("+00:00")


def test_console_keeps_a_client_in_its_line_too() -> None:
    first, *below = Console("api").format(record("%s", HOSTILE, path=HOSTILE)).split("\n")
    assert first.count("one\\ntwo") == 2
    assert all(line.startswith("    ") for line in below)
    assert "".join([first, *below]).isprintable()


def test_processes_of_a_kind_share_a_private_file(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for _ in range(2):
        configure(Settings(home=tmp_path), "api")
    logging.getLogger("controlplane.x").info("heard")
    logging.getLogger("httpx").info("not heard")
    logging.getLogger("httpx").warning("heard too")
    path = tmp_path / "logs" / "api.log"
    assert [json.loads(line)["message"] for line in path.read_text().splitlines()] == ["heard", "heard too"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_without_a_home_it_is_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(Settings(home=tmp_path, log_format="console"), "api")
    logging.getLogger("controlplane.x").info("heard")
    assert capsys.readouterr().err.endswith(" controlplane.x heard\n")
