"""
A local Functions host: runs `function_app.py`, unchanged, where Azure Functions Core Tools cannot be installed.

Core Tools come from a download site that closed networks and many build machines cannot reach. This host is made of
kept libraries, knows only what this project's functions use, and refuses to start on anything else, so that a start
here means a start there. `docs/devhost.md` lists what differs from the real host.
"""
