"""Due work: the queues and the timer do the work, `rebuild` restores lost due rows, expired data is deleted."""
