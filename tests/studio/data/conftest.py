"""A page of the Data tab without a browser: a dataset, and the state of a page that shows it."""

import pytest

from studio.data.page_state import PageState
from tests.helpers.datasets import dialog, open_dataset


@pytest.fixture
def data(settings, tmp_path):
    """60 rows: row 5 repeats row 4, row 7 cannot be used, row 9 holds markup."""
    talks = [dialog(f"question {i}", f"answer {i} " + "word " * i) for i in range(60)]
    talks[5] = talks[4]
    talks[7] = [{"role": "user", "content": "alone"}]
    talks[9] = dialog("<img src=x onerror=alert(1)>", "<script>alert(1)</script>")
    rows = [{"messages": messages, "score": i, "kind": "ab"[i % 2]} for i, messages in enumerate(talks)]
    return open_dataset(settings, tmp_path, rows)


@pytest.fixture
def state(data):
    return PageState(dataset=data.id).model_dump()
