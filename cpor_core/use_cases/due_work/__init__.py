"""Everything that is due: done by queue and timer, made anew, and deleted in its time."""
