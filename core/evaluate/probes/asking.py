"""The probes as prompts of an evaluation: they come after those of the set."""

import json
from pathlib import Path

from core.evaluate.config import EvaluationConfig
from core.evaluate.probes import MAX_NEW_TOKENS, probes


def append_probes(path: Path, config: EvaluationConfig, notes: list[str]) -> int:
    """Append the probes to the file of prompts if they are wanted, with notes about them; return their number.

    Args:
        path: The file of the prompts, with a line per prompt.
        config: The settings of the evaluation.
        notes: Sentences about the prompts; extended.
    """
    if not config.guard:
        return 0
    with path.open("a", encoding="utf-8", newline="\n") as stream:
        for number, probe in enumerate(probes()):
            # No row of the source: numbers below 0 keep each probe a conversation of its own.
            messages = [{"role": "user", "content": probe.prompt}]
            line = {"messages": messages, "reference": "", "row": -1 - number, "columns": {}, "probe": number}
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
    notes.append(f"{len(probes()):,} probes of the forgetting guard are asked after the prompts, and scored apart.")
    if config.max_new_tokens < MAX_NEW_TOKENS:
        notes.append(
            f"Some probes need answers of {MAX_NEW_TOKENS} tokens, and the length is {config.max_new_tokens}, so every "
            "model fails them."
        )
    return len(probes())
