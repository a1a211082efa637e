"""The one error of getting an engine."""


class EngineError(Exception):
    """A source has no engine to give; the message is one line that says what was tried and what happened."""
