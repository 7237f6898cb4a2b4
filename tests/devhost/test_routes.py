"""Route templates match as the real host's do."""

import pytest

from devhost.host.routes import Template


@pytest.mark.parametrize(
    ("template", "path", "expected"),
    [
        ("api/items", "/api/items", {}),
        ("/api/items/", "/API/Items/", {}),
        ("api/items", "/api/items//", None),
        ("api/items", "/api//items", None),
        ("api/items", "/api/items/1", None),
        ("api/items", "/api", None),
        ("api/{id}", "/api/A b", {"id": "A b"}),
        ("api/{id}", "/api/", None),
        ("api/{id}/a", "/api//a", None),
        ("api/{a}/{b}", "/api/1/2", {"a": "1", "b": "2"}),
        ("api/{*rest}", "/api/a/b/", {"rest": "a/b/"}),
        ("api/{*rest}", "/api", {}),
        ("api/{*rest}", "/apis", None),
        ("api/{n:int}", "/api/-12", {"n": "-12"}),
        ("api/{n:int}", "/api/2147483648", None),
        ("api/{n:int}", "/api/1.0", None),
        ("api/{g:guid}", "/api/00000000-0000-4000-8000-00000000C0DE", {"g": "00000000-0000-4000-8000-00000000C0DE"}),
        ("api/{g:guid}", "/api/0000000000004000800000000000c0de", {"g": "0000000000004000800000000000c0de"}),
        (
            "api/{g:guid}",
            "/api/{00000000-0000-4000-8000-00000000c0de}",
            {"g": "{00000000-0000-4000-8000-00000000c0de}"},
        ),
        ("api/{g:guid}", "/api/0000000-00000-4000-8000-00000000c0de", None),
        ("api/{g:guid}", "/api/g0000000-0000-4000-8000-00000000c0de", None),
        ("api/{a:alpha}", "/api/abC", {"a": "abC"}),
        ("api/{a:alpha}", "/api/é", None),
        ("api/{a:length(2)}", "/api/ab", {"a": "ab"}),
        ("api/{a:length(2)}", "/api/abc", None),
        ("api/{a:length(2,3)}", "/api/abc", {"a": "abc"}),
        ("api/{a:minlength(2):maxlength(3)}", "/api/abcd", None),
        ("api/{a:minlength(2):maxlength(3)}", "/api/a", None),
        ("api/{n:range(1,12)}", "/api/12", {"n": "12"}),
        ("api/{n:range(1,12)}", "/api/13", None),
        ("api/{n:range(1,12)}", "/api/x", None),
    ],
)
def test_a_template_matches_a_path(template: str, path: str, expected: dict[str, str] | None) -> None:
    """In any case; a parameter takes one whole segment that is not empty, a catch-all the rest."""
    assert Template.parse(template).match(path) == expected
