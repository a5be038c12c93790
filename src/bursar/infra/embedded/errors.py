"""The one error of the embedded server."""


class EmbeddedError(Exception):
    """The one clear line for the person who started it."""
