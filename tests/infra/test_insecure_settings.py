"""What checkov says is judged more strictly than by checkov itself; the run is `make infra`, and CI's."""

import re

import pytest

from tools.insecure_settings import SETTINGS, SKIPPED, complaints_of

FAILED = {"check_id": "CKV_A_1", "check_name": "No doors", "file_path": "/a.bicep", "resource": "door"}


@pytest.mark.parametrize(
    ("failed", "unread", "passed", "skipped", "complaint"),
    [
        ([FAILED], [], 1, [], "CKV_A_1 No doors: /a.bicep door"),
        ([], [], 1, ["CKV_A_1"], "CKV_A_1 is skipped in infra/checkov.yaml, and nothing fails it."),
        ([], ["a.bicep"], 1, [], "checkov cannot read a.bicep."),
        ([], [], 0, [], "checkov found nothing to check."),
    ],
)
def test_what_checkov_passes_over_is_a_complaint(
    failed: list[object], unread: list[str], passed: int, skipped: list[str], complaint: str
) -> None:
    """A failed check, a skip that is not needed, a file that it could not read, a run over nothing."""
    report = {"results": {"failed_checks": failed, "parsing_errors": unread}, "summary": {"passed": passed}}

    assert list(complaints_of(report, skipped)) == [complaint]


def test_a_failed_check_with_a_reason_is_no_complaint() -> None:
    """That is what the list is for."""
    report = {"results": {"failed_checks": [FAILED], "parsing_errors": []}, "summary": {"passed": 1}}

    assert list(complaints_of(report, ["CKV_A_1"])) == []


def test_every_check_that_is_skipped_has_its_reason() -> None:
    """On the same line."""
    text = SETTINGS.read_text("utf-8")

    assert len(SKIPPED.findall(text)) == len(re.findall(r"CKV", text)) > 0
