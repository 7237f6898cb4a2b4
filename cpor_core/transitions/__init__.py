"""The transitions of a claim: each way from one state to the next, by people and by time."""
