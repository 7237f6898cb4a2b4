"""The functions of the app: HTTP requests, queue messages, timers. Each parses, calls one use case and answers."""
