"""Pay per site, tried without a router."""

import tokenize
from pathlib import Path

from isdf.model import Flow
from isdf.sdk.service import load
from isdf.sdk.testing import configured

FOLDER = Path(__file__).parents[2] / "feed" / "pay-per-site"


def test_each_site_is_in_the_one_class_that_was_bought():
    control = configured(load(FOLDER), sites=["tv.example", "video.example"], rate="200kBps")
    assert control.classes == {"sites": {"down": 1_600_000, "up": 1_600_000}}
    assert set(control.members.values()) == {
        ("sites", Flow(host="tv.example")),
        ("sites", Flow(host="video.example")),
    }


def test_an_asymmetric_line_has_a_rate_of_its_own_upwards():
    control = configured(load(FOLDER), sites=["tv.example"], rate="20mbit", up="1mbit")
    assert control.classes == {"sites": {"down": 20_000_000, "up": 1_000_000}}


def test_it_has_at_most_ten_lines_of_code():
    with open(FOLDER / "service.py", "rb") as source:
        skip = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}
        tokens = [t for t in tokenize.tokenize(source.readline) if t.type not in skip | {tokenize.ENDMARKER}]
    assert len({t.start[0] for t in tokens if not t.line.startswith('"""')}) <= 10
