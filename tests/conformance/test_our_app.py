"""Our own app loads and works in Microsoft's worker library, which is what runs it in the cloud."""

import json
from pathlib import Path

import pytest

from tests.conformance.worker import ROOT, Call, HttpCall, Outcome, QueueCall, TimerCall, called

HOSTILE_MESSAGE = '{"claimId": "../../x", "__proto__": {}, "claim": ["\\u0000\\ud800"'

CALLS: dict[str, Call] = {
    "engagements": HttpCall("GET", "/api/engagements"),
    "health": HttpCall("GET", "/api/health", headers={"Accept": "application/json"}),
    "claims without a token": HttpCall("GET", "/api/claims?status=draft"),
    "an unknown path": HttpCall("GET", "/api/nowhere"),
    "a wrong method": HttpCall("DELETE", "/api/engagements"),
    "a hostile message": QueueCall("notify_customer", HOSTILE_MESSAGE),
    "the timer": TimerCall("finalise_uncontested"),
}
