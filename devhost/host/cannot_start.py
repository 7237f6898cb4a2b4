"""The exception with which the host refuses to start."""


class CannotStart(Exception):
    """The app, its settings or the machine need something that this host cannot do; the message names it."""
