"""What opens a customer's page is masked before a row is kept, by what a transformation may use."""

import re

import pytest

from cpor_app.adapters.identity.links import Links
from tests.infra.bicep import INFRA, MAIN, declared

CLAIM = "a1b1000000004000800000000000000f1" + "0" * 20
TEMPLATE = INFRA / "masking" / "main.bicep"

# From MicrosoftDocs/azure-monitor-docs, articles/azure-monitor/data-collection/data-collection-transformations-kql.md,
# of 20 January 2026: what is not listed there is not supported, whatever else a query to the logs may use.
TABULAR = frozenset(
    "extend project print where parse project-away project-rename datatable columnifexists".split()  # noqa: SIM905
)
OPERATORS = frozenset(
    """
    contains has contains_cs has_cs startswith startswith_cs endswith endswith_cs matches regex in
    """.split()  # noqa: SIM905 - words read better than a list of them
)
FUNCTIONS = frozenset(
    """
    parse_cef_dictionary geo_location
    binary_and binary_or binary_not binary_shift_left binary_shift_right binary_xor
    tobool todatetime todouble toreal toguid toint tolong tostring totimespan
    ago datetime_add datetime_diff datetime_part dayofmonth dayofweek dayofyear endofday endofmonth endofweek endofyear
    getmonth getyear hourofday make_datetime make_timespan now startofday startofmonth startofweek startofyear
    weekofyear
    array_concat array_length pack_array pack parse_json parse_xml zip
    abs bin floor ceiling exp exp10 exp2 isfinite isinf isnan log log10 log2 pow round sign
    case iif max_of min_of
    base64_encodestring base64_decodestring countof extract extract_all indexof isempty isnotempty split strcat
    strcat_delim strlen substring tolower toupper hash_sha256
    gettype isnotnull isnull
    """.split()  # noqa: SIM905 - words read better than a list of them
)
TEXTS = re.compile(r'@"(?:[^"]|"")*"|"[^"]*"')


def transforms() -> dict[str, str]:
    """Return the query of each table, worked out as Bicep does: two backslashes are one, `replace` replaces."""
    variables = declared(TEMPLATE, "variables")
    text = TEMPLATE.read_text("utf-8")
    mask, properties = (_of_bicep(text, name) for name in ("mask", "properties"))
    found = {}
    for table in variables["tables"]["value"]:
        columns = re.findall(r"(\w+) = \$\{replace\(mask, 'COLUMN', '(\w+)'\)\}", table["masked"])
        assert columns, table
        assert all(target == column for target, column in columns)
        masked = ", ".join(f"{column} = {mask.replace('COLUMN', column)}" for column, _ in columns)
        found[table["name"]] = f"source | extend {masked}, {properties}"
    return found


def _of_bicep(text: str, name: str) -> str:
    written = re.search(rf"^var {name} = '(.*)'$", text, re.MULTILINE)
    assert written is not None
    return written[1].replace("\\\\", "\\")


@pytest.mark.parametrize("table", transforms())
def test_a_transformation_uses_only_what_it_may(table: str) -> None:
    """Operators and functions alike."""
    assert unsupported(transforms()[table]) == set()


def unsupported(query: str) -> set[str]:
    """Return the names that a query uses as operators or functions and that a transformation has not."""
    bare = TEXTS.sub("", query)
    steps = [step.split()[0] for step in bare.split("|")[1:]]
    called = set(re.findall(r"(\w+)\s*\(", bare))
    between = set(re.findall(r"(?<=[\w)]) +([a-z_]+) +(?=$|[\w,@(])", bare))
    return (set(steps) - TABULAR) | (called - FUNCTIONS) | (between - OPERATORS - set(steps) - {"regex"})


def test_what_is_not_supported_is_found() -> None:
    """The function that stood here before, its kin, and operators over many rows."""
    assert unsupported('source | extend Url = replace_regex(Url, @"a(b)", "c")') == {"replace_regex"}
    assert unsupported("source | summarize count() by Url") >= {"summarize", "count"}
    assert unsupported('source | where replace_string(Url, "f(x)", "") matches regex "y"') == {"replace_string"}


def _masks(query: str) -> list[tuple[str, str, str]]:
    """Return each column that a query masks, what it looks for, and what it keeps."""
    return re.findall(
        r'(\w+) = iif\(\w+ matches regex @"([^"]+)", strcat\(extract\(@"([^"]+)", 1, \1\), "\*\*\*"\), \1\)', query
    )


def test_what_follows_t_in_an_address_is_masked() -> None:
    """In every column that could hold one; a row without any is kept as it is."""
    links = Links(("a secret of the test that is long enough",), "https://example.com/api")
    token = links.token(CLAIM, 0)
    first, second = links.request_url(CLAIM, token), f"https://example.com/?lang=fr&t={token}"
    columns = {table: [column for column, _, _ in _masks(query)] for table, query in transforms().items()}

    assert columns == {"AppRequests": ["Url", "Name"], "AppDependencies": ["Data", "Name"], "AppTraces": ["Message"]}
    for query in transforms().values():
        for _, asked, kept in _masks(query):
            message = f"two\nlines: GET {first} and {second}"
            found = re.search(kept, message)
            assert re.search(asked, message)
            assert found is not None
            assert found[1] == message[: message.index("t=") + 2]
            assert token not in found[1]
            assert not re.search(asked, "GET https://example.com/api/claims?status=draft&part=1")


def test_an_object_that_holds_one_is_left_out() -> None:
    """`url.full` has the whole address, `url.query` what stands behind the question mark."""
    for query in transforms().values():
        asked = re.search(
            r'Properties = iif\(tostring\(Properties\) matches regex @"(.+?)", parse_json\("{}"\), P', query
        )
        assert asked is not None
        pattern = asked[1].replace('""', '"')
        assert re.search(pattern, '{"url.full": "https://example.com/?a=1&t=secret"}')
        assert re.search(pattern, '{"url.query":"t=secret"}')
        assert not re.search(pattern, '{"http.request.method": "GET", "part": "1"}')


def test_nothing_waits_for_the_rule() -> None:
    """It is a template of its own; the workspace takes its id once it is there, and an empty one leaves it out."""
    main = MAIN.read_text("utf-8")

    assert "masking/" not in re.sub(r"//.*|@description.*", "", main)
    assert declared(MAIN, "parameters")["maskingRule"]["default"] == ""
    assert "ruleId: maskingRule" in main
