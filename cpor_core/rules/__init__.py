"""Questions about values that have one right answer at one instant; nothing is changed here."""
