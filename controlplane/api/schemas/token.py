"""Tokens in answers."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from controlplane.persistence.tokens import Role, TokenRecord


class TokenOut(BaseModel):
    """A token in an answer: never its secret."""

    id: UUID
    name: str
    role: Role
    name_prefix: str = Field(description="It reaches only tenants whose name begins so. Empty: any name.")
    selector: str = Field(description="It reaches only tenants whose labels meet this. Empty: any labels.")
    created_at: datetime
    expires_at: datetime | None = Field(description="Null: never.")
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute. Null: not used yet.")

    @classmethod
    def of(cls, token: TokenRecord) -> "TokenOut":
        return cls(
            id=token.id,
            name=token.name,
            role=token.role,
            name_prefix=token.name_prefix,
            selector=token.selector,
            created_at=token.created_at,
            expires_at=token.expires_at,
            revoked_at=token.revoked_at,
            last_used_at=token.last_used_at,
        )


class TokenCreated(TokenOut):
    token: str = Field(description="The secret. It is shown only now.")


class TokenPage(BaseModel):
    items: list[TokenOut]
    next_cursor: str | None
