"""The transitions of a claim from one state to the next, by acts of people and by time."""
