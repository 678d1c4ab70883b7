"""One id for each request, new or taken from the client: on the answer, in problems, in events and in logs."""

import logging
import re
from contextvars import ContextVar
from uuid import uuid4

HEADER = "X-Request-ID"
_ACCEPTABLE = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_current: ContextVar[str] = ContextVar("landlord_request_id", default="-")


def begin(offered: str | None) -> str:
    """Start a request. Uses the client's own id if it is harmless in a log line, else a new one."""
    id = offered if offered and _ACCEPTABLE.fullmatch(offered) else uuid4().hex
    _current.set(id)
    return id


def current() -> str:
    """The id of the request that this coroutine works for; `-` outside of any request."""
    return _current.get()


class RequestIdFilter(logging.Filter):
    """Puts `request_id` on each log record, for the formatters."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current()
        return True


log = logging.getLogger("landlord.api")
log.addFilter(RequestIdFilter())
