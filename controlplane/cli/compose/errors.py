"""What is wrong with a compose file."""


class ComposeError(Exception):
    """The message names the key and says what to write instead."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}" if key else message)
