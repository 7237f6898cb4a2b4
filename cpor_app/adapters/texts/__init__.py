"""Writes the texts of mails and pages, in every language that has a catalogue."""
