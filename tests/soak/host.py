"""
One host of a soak: `devhost`, which ends with the process that started it.

A message that a killed host had taken comes again after half a minute; the real host's ten would outlast the run.
"""

import runpy
from datetime import timedelta
from functools import partial
from unittest.mock import patch

from devhost.host import server
from devhost.host.queue_triggers import QueueListener

LEASE = timedelta(seconds=30)

if __name__ == "__main__":
    with patch.object(server, "QueueListener", partial(QueueListener, lease=LEASE)):
        runpy.run_module("devhost.stack.exit_with_parent", run_name="__main__")
