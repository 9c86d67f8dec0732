"""docs/model-support.md agrees with the tables that the tests use."""

from pathlib import Path

from tests.helpers.answering_architectures import EXTRA, ONE_AT_A_TIME, PADDED

PAGE = Path(__file__).resolve().parents[2] / "docs" / "model-support.md"


def test_model_support_page_matches_the_tested_tables():
    lines = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")][2:]
    assert {line[0].removeprefix("| "): tuple(line[1:3]) for line in lines} == {
        name: (
            "padded" if name in PADDED else "packed",
            "one at a time" if name in ONE_AT_A_TIME else "batched",
        )
        for name in EXTRA
    }
