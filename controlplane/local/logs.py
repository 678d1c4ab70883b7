"""The log of one process: one line for each record, into a bounded file of the home that all processes of a kind share.
JSON by default.

A client's or a platform's text in a message stays in its line: control characters are quoted in both forms. Secrets and
bodies must not be passed to the log: only what shows by its form, such as the password in a URL, is taken out here.
"""

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any

from pydantic_core import to_json

from controlplane.local.logfile import LineFile
from controlplane.local.paths import Home
from controlplane.secrecy import hide
from controlplane.settings import Settings

OURS = ("controlplane", "actors", "providers", "landlord")
"""Loggers that write from INFO on; the libraries' write from WARNING on."""
LONGEST = 8000
_NO_FIELD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def configure(settings: Settings, file: str, who: str | None = None) -> None:
    """Log to `$LANDLORD_HOME/logs/<file>.log`, or to standard error if there is no such directory. `who`: the name of
    this process among those that share the file. May be called again."""
    directory = Home(settings.home).logs
    formatter = (Json if settings.log_format == "json" else Console)(who or file)
    there = directory.is_dir()
    handler = Lines(LineFile(directory / f"{file}.log")) if there else logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    handler.set_name("landlord")
    root = logging.getLogger()
    for old in [one for one in root.handlers if one.get_name() == "landlord"]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)


class Lines(logging.Handler):
    """Writes each record as a line of a file."""

    def __init__(self, file: LineFile) -> None:
        super().__init__()
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._file.write(self.format(record).encode())
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        self._file.close()
        super().close()


class Named(logging.Formatter):
    """Knows which process it is."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process


class Json(Named):
    """An object: `time`, `level`, `logger`, `process`, `pid`, `message`, the fields of `extra`, and `error` with the
    traceback. ASCII only."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": self._process,
            "pid": os.getpid(),
            "message": hide(record.getMessage())[:LONGEST],
            **fields(record),
        }
        if record.exc_info:
            line["error"] = hide(self.formatException(record.exc_info))[-LONGEST:]
        return _encoded(line)


def _encoded(line: dict[str, Any]) -> str:
    try:
        return to_json(line, fallback=str, ensure_ascii=True).decode()
    except ValueError:  # halves of characters, which only the slow way can write
        return json.dumps(line, default=str)


class Console(Named):
    """For people: time, level, process, logger, message, `name=value` of each extra; a traceback below, indented."""

    def format(self, record: logging.LogRecord) -> str:
        words = [
            _time(record),
            f"{record.levelname:<7}",
            self._process,
            record.name,
            quoted(hide(record.getMessage())[:LONGEST]),
        ]
        words += [f"{name}={quoted(str(value))}" for name, value in fields(record).items()]
        lines = [" ".join(words)]
        if record.exc_info:
            error = hide(self.formatException(record.exc_info))[-LONGEST:]
            lines += [f"    {quoted(line)}" for line in error.splitlines()]
        return "\n".join(lines)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of `extra`. A name that begins with `_` is a library's own: Ray adds such ones to every record."""
    return {
        name: value
        for name, value in vars(record).items()
        if name not in _NO_FIELD and not name.startswith("_") and value is not None
    }


def quoted(text: str) -> str:
    """On one line, without anything that a terminal would obey."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
