"""A history is exported page by page and checked with nothing but the file."""

import json

from cpor_core.verify_history import verdict
from tests.support.service import Service


async def test_an_exported_history_is_whole_whether_or_not_the_timer_has_run(service: Service) -> None:
    """Each page has two entries. The last entry is one that nobody has stored yet."""
    claim = await service.official()
    pages, url = [], f"/claims/{claim['id']}/history?maxpagesize=2"
    while url:
        answer = (await service.request("GET", url)).json()
        pages.append(answer)
        url = answer.get("nextLink", "")
    text = "\n".join(json.dumps(page) for page in pages)

    found = verdict(text, claim["historyHash"])

    newest = [entry for page in pages for entry in page["value"]][-1]
    assert len(pages) > 2
    assert (newest["act"], newest["hash"]) == ("madeOfficial", claim["historyHash"])
    assert (found.code, found.words.partition(":")[0]) == (0, "WHOLE")
    assert newest["at"] == claim["window"]["endsAt"]
    forged = text.replace("madeOfficial", "declined")
    assert verdict(forged, claim["historyHash"]).code == 1
