"""How a command ended that was run in a tenant's compute."""

from pydantic import BaseModel, Field


class CommandOut(BaseModel):
    exit_code: int | None = Field(description="null: it had not ended in time, and may still run.")
    output: str = Field(description="Stdout and stderr as they came, 256 KiB at most.")
    cut: bool = Field(description="There was more output.")
