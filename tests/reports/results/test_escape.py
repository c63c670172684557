"""What comes from a stranger's repository stays text where others read markup."""

from reports.results.escape import annotation, cell, printable

HOSTILE = "a|b\\|c`<img>`\r\n::error::x, y: 100%\x07\u202e"


def test_a_cell_stays_one_cell_of_one_line():
    assert cell(HOSTILE) == "a\\|b\\\\\\|c\\`&lt;img&gt;\\`  ::error::x, y: 100%\x07\u202e"


def test_an_annotation_is_one_line_whose_title_ends_where_it_should():
    found = annotation("error", HOSTILE, HOSTILE)
    assert len(found.splitlines()) == 1
    assert found.split("::")[1] == "error title=a|b\\|c`<img>`%0D%0A%3A%3Aerror%3A%3Ax%2C y%3A 100%25\x07\u202e"
    assert found.endswith("%0D%0A::error::x, y: 100%25\x07\u202e")


def test_what_turns_text_around_is_replaced():
    assert printable("a\x07b\u202ec d") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c d"
