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
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, token: TokenRecord) -> "TokenOut":
        return cls(
            id=token.id,
            name=token.name,
            role=token.role,
            created_at=token.created_at,
            expires_at=token.expires_at,
            revoked_at=token.revoked_at,
        )


class TokenCreated(TokenOut):
    token: str = Field(description="The secret. It is shown only now.")


class TokenPage(BaseModel):
    items: list[TokenOut]
    next_cursor: str | None
