"""The claim's life: every way from one state to the next, for people and for the clock."""
