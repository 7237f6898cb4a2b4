"""The exception with which the host refuses to start."""


class CannotStart(Exception):
    """The host cannot start. The message names the fault in the app, its settings or the machine."""
