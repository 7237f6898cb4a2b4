"""Pure questions about values. A rule changes nothing, and has one right answer at one instant."""
