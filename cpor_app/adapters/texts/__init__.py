"""What people read: mails and pages, in every language that has a catalogue."""
