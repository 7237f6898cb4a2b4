"""
Days that are neither public holidays nor business days, because no statutory time limit of the country ends on them.

The holiday data has a category for each group of people who have a day off. Public holidays alone are not enough: for
example, no time limit ends on Midsummer Eve in Sweden, but that day is no public holiday. We have compared each other
category with the law of its country. A test fails when a new release of the data has a category in neither list.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class ByLaw:
    """
    Days of one country that are no business days, and the law that says so.

    The days are those of *category* in the holiday data. If *only* is set, they are limited to the days with these
    English names. *dates* are further days (month and day, with an English name) that are in no category. If
    *subdivisions* is set, the rule is only for these subdivisions.
    """

    country: str
    days: str
    law: str
    source: str
    category: str | None = None
    only: frozenset[str] | None = None
    dates: Mapping[tuple[int, int], str] = field(default_factory=dict)
    subdivisions: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Left:
    """Categories of the holiday data that stay business days in these countries, and why. Blanks separate names."""

    categories: str
    countries: str
    why: str


_YEAR_END: Final = "Year-End and New Year Holidays"

COUNTED: Final = (
    ByLaw(
        "AT",
        "Good Friday, 24 December",
        "General Administrative Procedure Act (AVG) § 33 (2); Federal Fiscal Code (BAO) § 108 (3)",
        "https://jusline.at/gesetz/avg/paragraf/33",
        category="bank",
        only=frozenset({"Good Friday", "Christmas Eve"}),
    ),
    ByLaw(
        "AU",
        "in New South Wales the bank holiday, the first Monday of August",
        "Interpretation Act 1987 (NSW) section 36 (2): public holidays and bank holidays",
        "https://legislation.nsw.gov.au/view/html/inforce/current/act-1987-015",
        category="bank",
        subdivisions=frozenset({"NSW"}),
    ),
    ByLaw(
        "DK",
        "Constitution Day (5 June), 24 and 31 December",
        "Limitation Act (forældelsesloven) § 27 (2)",
        "https://danskelove.dk/for%C3%A6ldelsesloven/27",
        category="optional",
        only=frozenset({"Constitution Day", "Christmas Eve", "New Year's Eve"}),
    ),
    ByLaw(
        "HK",
        "the general holidays that are no statutory holidays of employees, such as Good Friday",
        "Interpretation and General Clauses Ordinance (Cap. 1) sections 3 and 71: general holidays (Cap. 149)",
        "https://www.elegislation.gov.hk/hk/cap1",
        category="optional",
    ),
    ByLaw(
        "JP",
        "29 December to 3 January",
        "Code of Civil Procedure article 95 (3); Act on Holidays of Administrative Organs articles 1 and 2",
        "https://www.japaneselawtranslation.go.jp/ja/laws/view/4551",
        dates={(12, 29): _YEAR_END, (12, 30): _YEAR_END, (12, 31): _YEAR_END, (1, 2): _YEAR_END, (1, 3): _YEAR_END},
    ),
    ByLaw(
        "LI",
        "2 January, Shrove Tuesday, Good Friday, 24 and 31 December",
        "Civil Code (ABGB) § 903 with article 1 of the act on time limits (FAHG) of 3 December 2020",
        "https://www.gesetze.li/chrono/html/2021041000",
        category="bank",
    ),
    ByLaw(
        "MO",
        "the public holidays that are no mandatory holidays of employees, such as Christmas Day",
        "Civil Code article 272 e; Executive Order 60/2000 lists the holidays",
        "https://bo.io.gov.mo/bo/i/2000/40/ordem60.asp",
        category="optional",
    ),
    ByLaw(
        "NL",
        "Liberation Day (5 May) of each year",
        "General Act on Time Limits (Algemene termijnenwet) article 3 (1)",
        "https://nl.wikipedia.org/wiki/Algemene_termijnenwet",
        category="optional",
        only=frozenset({"Liberation Day"}),
    ),
    ByLaw(
        "SE",
        "Midsummer Eve, 24 and 31 December",
        "Act on the calculation of time limits (SFS 1930:173) § 2",
        "https://lagen.nu/1930:173",
        category="de_facto",
    ),
)
"""The days off apart from public holidays and weekends, with their law."""

NOT_COUNTED: Final = (
    Left(
        "bank",
        "AR BE CL CY LA LB LU PA QA SM KR LK SE TZ TH UY",
        "banks close, others work; the laws on time limits name public holidays only",
    ),
    Left("bank", "JP", "replaced by the list of the law above, which has two more days"),
    Left("de_facto", "CH", "all are Sundays"),
    Left(
        "government",
        "AD AR EG ER FK IN ID LB MO PY PN PR SH LK TW TH TL AE",
        "public offices close, or their staff have leave; others work",
    ),
    Left(
        "government",
        "CA US",
        "the federation's own list; in a province or state its own public holidays decide",
    ),
    Left(
        "half_day",
        "AU BG CN CW EE FO GR IS IT PW PR KN CH TR US",
        "people work in the morning, so the day counts",
    ),
    Left(
        "optional",
        "BR CV CA CR CY GL HT IN IE IL NE PT SE CH TW TT AE",
        "days off by custom, religion or the employer's choice",
    ),
    Left(
        "workday",
        "AX AM AZ BY BJ ET FK FJ FI KG LA LY MN ME NP PH PN KN SK SI LK TW TH TL TG UA YE",
        "days of remembrance on which people work",
    ),
    Left("unofficial", "AX AS FI GU MP PR UM VI US", "days of custom on which people work"),
    Left("school", "AU AT BE BG EG FR DE IL LA NL PL TW TH YE", "schools close"),
    Left("armed_forces", "PW TH", "days off for the armed forces only"),
    Left("optional_women", "IN", "women may have them off"),
    Left(
        "albanian armenian bosnian catholic christian hebrew hindu islamic orthodox protestant roma sabian serbian "
        "turkish vlach yazidi",
        "AR AT DE DZ IQ KE ME MK PS SS",
        "days off for the members of one community",
    ),
)
"""The categories with days that stay business days."""


def counted_in(country: str, subdivision: str | None) -> tuple[ByLaw, ...]:
    """Return the rules for days off in a place, apart from its public holidays and weekends."""
    return tuple(
        rule
        for rule in COUNTED
        if rule.country == country and (rule.subdivisions is None or subdivision in rule.subdivisions)
    )
