"""The audit trail in answers and in streams."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

from controlplane.model import Event, EventType

# Examples and no enum: clients generated from an enum refuse the types of later releases.
TypeOfEvent = Annotated[
    str, Field(description="Later releases may send others; docs/events.md says of each when.", examples=[*EventType])
]


class EventOut(BaseModel):
    """One line of the audit trail. `id` order is commit order."""

    id: int
    type: TypeOfEvent
    tenant: str | None
    tenant_id: UUID | None
    generation: int | None
    status: str | None
    execution_id: str | None
    trigger_source: str | None
    actor: str | None = Field(description="The token's name, or the owner that acted.")
    token_id: UUID | None = Field(description="Of the token: its name may be another's later.")
    request_id: str | None
    message: str
    data: dict[str, Any]
    at: datetime
    hash: str | None = Field(
        description="Over this event and the hash of the one before; GET /v1/admin/trail compares."
    )

    @classmethod
    def of(cls, event: Event) -> "EventOut":
        return cls(
            id=event.id,
            type=event.type,
            tenant=event.tenant_name,
            tenant_id=event.tenant_id,
            generation=event.generation,
            status=event.status,
            execution_id=event.execution_id,
            trigger_source=event.trigger_source,
            actor=event.actor,
            token_id=event.token_id,
            request_id=event.request_id,
            message=event.message,
            data=dict(event.data),
            at=event.at,
            hash=event.hash,
        )


class WatchEvent(BaseModel):
    """`data` of one Server-Sent Event; its `id` is the stream's id too."""

    id: int
    type: TypeOfEvent
    tenant: str | None
    generation: int | None
    status: str | None
    execution_id: str | None
    at: datetime

    @classmethod
    def of(cls, event: Event) -> "WatchEvent":
        return cls(
            id=event.id,
            type=event.type,
            tenant=event.tenant_name,
            generation=event.generation,
            status=event.status,
            execution_id=event.execution_id,
            at=event.at,
        )


class EventPage(BaseModel):
    items: list[EventOut]
    next_cursor: str | None
