"""Sets of evaluations whose scores can be compared: the same prompts, answered under the same settings.

Two evaluations of one set have the same prompts in the same order, so that a lane of one can be paired row by row with
a lane of the other. Scores of different sets are never compared: other rows are easier or harder.
"""

import hashlib
import itertools
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from core.errors import StudioError
from core.evaluate import prompts, scores
from core.evaluate.config import EvaluationConfig, parse_lane
from core.evaluate.lineage import runs_of
from core.evaluate.prompts import Prompts
from core.evaluate.scores import Scores
from core.evaluate.statistics.paired import PairedScores
from core.evaluate.store import Evaluation, EvaluationStore
from core.runs.store import RunStore
from core.system.counting import counted
from core.system.files import modified_ns

_CACHED_DIGESTS = 1000


@dataclass(frozen=True)
class SetKey:
    """Everything that two evaluations must share for their scores to be compared.

    Attributes:
        model: The base model, with its revision; a name for an unknown one if all runs of the evaluation are gone.
        prompts: Hash of the prompts, references and row numbers in their order, without the probes of the guard.
        settings: Generation settings, as JSON.
        precision: Quantization and compute dtype of the base weights.
        templates: Chat templates of the runs.
    """

    model: str
    prompts: str
    settings: str
    precision: str
    templates: str

    @property
    def id(self) -> str:
        """Return a short name of the set that stays the same between calls."""
        return hashlib.sha256("\0".join(vars(self).values()).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Scored:
    """A finished evaluation with its scores."""

    id: str
    created: float
    config: EvaluationConfig
    scores: Scores


class PromptSet:
    """The scored evaluations of one set, the newest first.

    Attributes:
        key: What they share.
        evaluations: The newest first; at least one.
    """

    def __init__(self, key: SetKey, evaluations: list[Scored]):
        self.key, self.evaluations = key, evaluations

    @property
    def lanes(self) -> list[str]:
        """Return all lanes, each once, those of newer evaluations first."""
        return list(dict.fromkeys(lane for found in self.evaluations for lane in found.config.lanes))

    @property
    def rows(self) -> int:
        """Return the number of prompts."""
        return self.evaluations[0].scores.prompts

    def describe(self, titles: dict[str, str]) -> str:
        """Return where the prompts come from, by the newest evaluation.

        Args:
            titles: The runs' display names, by id.
        """
        config = self.evaluations[0].config
        text = prompts.describe(config, titles.get(config.prompt_run, "")).removeprefix("the ")
        return f"{text[:1].upper()}{text[1:]} · {counted(self.rows, 'prompt')}"

    def pair(self, metric: str, first: str, second: str) -> tuple[PairedScores, list[str]] | None:
        """Return a metric of two lanes row by row, and the evaluations it is from; None if a lane has no scores.

        The newest evaluation with both lanes is used. Without one, the newest of each: the prompts are the same.
        """
        both = [found for found in self.evaluations if {first, second} <= set(found.config.lanes)]
        sources = [both[0], both[0]] if both else [self._newest(first), self._newest(second)]
        if None in sources:
            return None
        one, other = (
            found.scores.values(metric, found.config.lanes.index(lane))
            for found, lane in zip(sources, (first, second), strict=True)
        )
        return PairedScores(one, other, sources[0].scores.clusters), list(dict.fromkeys(found.id for found in sources))

    def _newest(self, lane: str) -> Scored | None:
        return next((found for found in self.evaluations if lane in found.config.lanes), None)


def find_sets(store: EvaluationStore) -> tuple[list[PromptSet], list[str]]:
    """Return the sets of all finished evaluations, that of the newest one first, and the ids of those without scores.

    An evaluation has no scores if another version of the studio made them; `python -m core evaluate show` makes them.
    """
    found: dict[SetKey, list[Scored]] = {}
    unscored = []
    for evaluation in store.all():
        state = evaluation.state()
        if state.status != "finished":
            continue
        try:
            config, scored = evaluation.config(), scores.find(evaluation)
        except (StudioError, OSError, ValueError):
            # A damaged evaluation shows its damage on its own page.
            unscored.append(evaluation.id)
            continue
        if scored is None:
            unscored.append(evaluation.id)
            continue
        key = _key(store.runs, evaluation, config, state.precision)
        found.setdefault(key, []).append(Scored(evaluation.id, state.created, config, scored))
    return [PromptSet(key, evaluations) for key, evaluations in found.items()], unscored


def _key(runs: RunStore, evaluation: Evaluation, config: EvaluationConfig, precision: str) -> SetKey:
    named = [run for run in (*(parse_lane(lane)[0] for lane in config.lanes), config.run) if run]
    configs = [run.config() for run in runs_of(runs, named)]
    if configs:
        model = f"{configs[0].model} {configs[0].revision}".strip()
    else:
        # The setting names the base only where no run does; that of a deleted run is not known any more.
        model = f"base of {named[0]} (deleted)" if named else config.model
    path = evaluation.prompts_file
    return SetKey(
        model, _digest(path, modified_ns(path)), config.sampling.model_dump_json(), precision,
        json.dumps(sorted({found.chat_template for found in configs})),
    )  # fmt: skip


# Files of prompts are written once; the time is part of the key for a home that was restored from a backup.
@lru_cache(maxsize=_CACHED_DIGESTS)
def _digest(path: Path, modified: int) -> str:
    """Return the hash of the prompts, references and row numbers of an evaluation."""
    digest = hashlib.sha256()
    for prompt in itertools.takewhile(lambda prompt: prompt.probe is None, Prompts(path)):
        line = json.dumps([prompt.messages, prompt.reference, prompt.row], sort_keys=True)
        digest.update(line.encode())
    return digest.hexdigest()
