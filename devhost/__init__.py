"""
A local Functions host. It runs the unchanged `function_app.py` where Azure Functions Core Tools cannot be installed.

Core Tools come from a download site that closed networks and many build machines cannot reach. This host is built from
maintained libraries. It supports only the features that the functions of this project use. It refuses to start an app
that needs more, so an app that starts here starts on the real host too. `docs/devhost.md` lists the differences.
"""
