"""Reviews with a summary, a rating and a date: summary and rating are offered as answers, the date as nothing."""

import pytest

from core.data.formats import Reading
from core.data.formats.columns import profile
from core.data.formats.dates import is_date
from core.data.formats.detect import detect

REVIEWS = [
    "This charger died after two weeks, and the cable frayed near the plug.",
    "A perfect gift for my nephew, who plays with it every single day.",
    "The battery lasts about four hours, not ten as they advertise it.",
    "It does what it says, nothing fancy, but it arrived in good time.",
]
TITLES = ["Died quickly", "Great gift for him", "Battery overrated by far", "OK"]
DATES = {
    "reviewTime": ["01 10, 2016", "02 11, 2016", "03 12, 2016", "12 1, 2017"],
    "Review Date": ["Jan 5, 2016", "May 3rd 2021", "5. März 2020", "12 de octubre de 2020"],
    "posted_at": ["Mon, 5 Jan 2016 10:00:00 +0000", "5 May 2016, 3:10 pm", "13.02.2024 10:00", "10:30"],
}
RATINGS = {
    "overall": [1.0, 5.0, 2.0, 3.0],
    "star_rating": [1, 5, 2, 3],
    "reviewStars": [0.5, 4.5, 2.0, 3.0],
    "Score": [10, 9, 2, 5],
}


@pytest.mark.parametrize("rating", RATINGS)
@pytest.mark.parametrize("date", DATES)
@pytest.mark.parametrize("text", ["reviewText", "Comment"])
def test_detect_offers_summary_and_rating_of_a_review_and_no_date(text, date, rating):
    values = zip(RATINGS[rating], DATES[date], REVIEWS, TITLES, strict=True)
    rows = [{rating: r, "verified": r > 2, date: d, "asin": "B0", text: t, "summary": s} for r, d, t, s in values] * 3
    found = detect(rows)
    assert found.reading.format == "undecided"
    assert found.candidates[:2] == [
        Reading(format="prompt_completion", columns={"prompt": text, "completion": "summary"}),
        Reading(format="label", columns={"text": text, "label": rating}),
    ]
    assert all(date not in reading.columns.values() for reading in found.candidates)
    assert "question" in found.evidence or "the text of which 'summary' is the answer" in found.evidence


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("score", [0.71, 0.33, 0.5, 0.94]),
        ("score", [120, 87, 3, 5]),
        ("rating", [1.0, 1.0, 1.0, 1.0]),
        ("length", [1, 5, 2, 3]),
    ],
)
def test_detect_offers_no_number_that_is_no_rating_as_a_label(name, values):
    rows = [{"review": text, name: value} for text, value in zip(REVIEWS, values, strict=True)]
    assert all(reading.format != "label" or values[0] == 1.0 for reading in detect(rows).candidates)


def test_detect_long_text_with_a_rating_stays_plain_text():
    rows = [{"text": text * 9, "score": value} for text, value in zip(REVIEWS, [1, 4, 3, 2], strict=True)]
    found = detect(rows)
    assert found.reading.format == "text"
    assert Reading(format="label", columns={"label": "score"}) in [
        reading.model_copy(update={"columns": {"label": reading.columns.get("label")}}) for reading in found.candidates
    ]


@pytest.mark.parametrize("date", DATES)
def test_column_of_dates_holds_ids_only_where_its_name_says_so(date):
    assert profile([{date: value} for value in DATES[date]])[date].kind == "id"
    assert profile([{"antwort": value} for value in DATES[date]])["antwort"].kind in ("prose", "short")


@pytest.mark.parametrize(
    "text", ["", "12", "5 of 7", "March", "1, 2, 3", "3 + 4 = 7", "3 - 4 - 2016", "may 5 people go?", "le 3 mars 2016"]
)
def test_text_with_numbers_is_no_date(text):
    assert not is_date(text)
