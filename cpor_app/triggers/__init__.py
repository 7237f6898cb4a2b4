"""The functions of the app. Each parses an HTTP request, a message or a timer's call, and calls one use case."""
