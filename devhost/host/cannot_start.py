"""The one way this host says no: at the start, in a sentence that names the file or the function at fault."""


class CannotStart(Exception):
    """The app, its settings or the machine ask for what this host does not do. The message is for the developer."""
