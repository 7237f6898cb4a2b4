"""
A local Functions host: runs `function_app.py`, unchanged, where Azure Functions Core Tools cannot be installed.

Core Tools come from a download site that closed networks and many build machines cannot reach. This host is built from
maintained libraries. It supports only what the functions of this project use, and refuses to start on anything else: an
app that starts here starts on the real host too. `docs/devhost.md` lists the differences.
"""
