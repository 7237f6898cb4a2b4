"""What wakes the app: HTTP requests, queue messages, the timer. Parse, one use case, answer; no rule lives here."""
