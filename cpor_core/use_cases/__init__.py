"""What the programme does, one subject a file: load, judge, write, hint."""
