"""Write docs/model-support.md: how each family of models trains and answers.

The families are those of tests/helpers/answering_architectures.py, whose tests hold each to transformers and PEFT. What
the page says of one is found by the probes that every run and every chat makes. `python docs/make_model_support.py`.
"""

import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from core.chat.probe import decoder_failure  # noqa: E402
from core.models.fast_paths import CAUSAL_MODELS  # noqa: E402
from core.train.layout import choose_layout  # noqa: E402
from tests.helpers.answering_architectures import EXTRA, build  # noqa: E402

PAGE = Path(__file__).with_name("model-support.md")
_KINDS = {"packed": "packed", "padded": "padded", "single": "one row at a time"}
_HEAD = f"""# Model support

This page is written by `python docs/make_model_support.py`.

Every family below was built at tiny size with random weights. Its training losses equal those of transformers and PEFT
without packing, its answers those of `generate`. A probe on the loaded model decides before every run how rows go
through it: packed (end to end, nothing padded), padded, or one row at a time. Another probe decides whether Chat and
Evaluate answer in batches. All of these give the same numbers; they differ in speed.

On a GPU, {" and ".join(CAUSAL_MODELS)} also have fused training blocks and a decoder of CUDA graphs
(`core/models/fast_paths.py`). A run's notes and the Chat tab give the reason where a model does not use them.
"""


def row_of(name: str) -> tuple[str, str, str, str]:
    """Return family, how it trains, how it answers, and why."""
    model = build(name)
    failure = decoder_failure(model, 0)
    layout = choose_layout(model, True, "", 0, 64)
    reasons = [
        f"Training: {layout.note}" if layout.kind != "packed" else "",
        f"Answers: {failure}." if failure else "",
    ]
    return name, _KINDS[layout.kind], "one at a time" if failure else "batched", " ".join(filter(None, reasons))


def page() -> str:
    """Return the whole page."""
    rows = [("Family", "Trains", "Answers", "Why"), ("---",) * 4, *map(row_of, sorted(EXTRA))]
    return _HEAD + "\n" + "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
