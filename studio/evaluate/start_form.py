"""Form of a new evaluation: which prompts, which lanes, which generation settings."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from pydantic import ValidationError

from components.field_errors import field_errors
from core.chat.turns import BASE, MAX_LANES
from core.chat.types import BaseIdentity
from core.data import readers, subset
from core.errors import StudioError, fields_of, sentence, sentences
from core.evaluate import process
from core.evaluate.config import EvaluationConfig, parse_lane
from core.evaluate.lineage import parent_run
from core.evaluate.store import EvaluationStore
from core.models import catalogue, embedded
from core.runs.imported import AdapterStore
from core.runs.store import Run
from core.system.counting import counted
from studio.evaluate.start_layout import ELEMENTS, FORM, NUMBERS, is_among_settings
from studio.handlers import ShownError, info


class InvalidEvaluationError(StudioError):
    """Values that no evaluation can have.

    Attributes:
        at_fields: A sentence by the name of the field at which the page shows it, in the order of the form.
    """

    def __init__(self, at_fields: dict[str, str]):
        super().__init__("\n".join(at_fields.values()))
        self.at_fields = at_fields


class StartForm:
    """Event handlers of the form."""

    def __init__(self, store: EvaluationStore):
        self.store = store

    def runs(self) -> list[Run]:
        """Return the readable runs, the newest first."""
        return [run for run in self.store.runs.runs() if not run.problem()]

    def lanes(self) -> list[tuple[str, str]]:
        """Return (label, lane) of the base model, of each run's adapter and of its checkpoints."""
        found, titles = [("Base model", BASE)], self.store.runs.titles()
        for run in [*self.runs(), *AdapterStore(self.store.settings).folders()]:
            for adapter in run.adapters():
                lane = run.id if adapter == "final" else f"{run.id}/{adapter}"
                title = titles.get(run.id, run.title)
                found.append((title if adapter == "final" else f"{title}, {adapter}", lane))
        return found

    def refresh_choices(
        self, run: str | None, lanes: list[str] | None, proposed: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the runs, subsets, lanes and models that exist now, and keep what the user selected.

        The newest run with an adapter is proposed, and beside the base model the adapter of the run; a run that was
        duplicated from another one is compared with that one instead. Proposed values are updated: the run to the
        newest run, the lane to that run's.

        Args:
            run: The run whose held-out rows are the prompts.
            lanes: The selected lanes.
            proposed: The `run` and the `lane` that the page itself selected, as the last call returned them.
        """
        proposed = proposed or {}
        titles = self.store.runs.titles()
        runs = [(titles.get(run.id, run.title), run.id) for run in self.runs()]
        with_adapter = [each.id for each in self.runs() if "final" in each.adapters()]
        choices = self.lanes()
        selected = [lane for lane in lanes or [] if lane in dict(choices).values()]
        is_chosen = run in dict(runs).values() and run != proposed.get("run")
        chosen = run if is_chosen else next(iter(with_adapter), None)
        lane = self._newest_lane(chosen) or next(iter(with_adapter), "")
        if not run or not any(lane != BASE for lane in selected):
            selected = self._propose(lane)
        elif lane and proposed.get("lane") in selected:
            selected = self._follow(selected, proposed["lane"], lane)
        else:
            lane = ""
        saved = subset.subsets(self.store.settings)
        subsets = [(f"{one.name} ({counted(one.rows + one.held_out, 'row')})", one.name) for one in saved]
        return {
            "run": gr.update(choices=runs, value=chosen),
            "subset": gr.update(choices=subsets),
            "lanes": gr.update(choices=choices, value=selected),
            **self._model_choices(),
            # Every lane but the base is an adapter, checkpoints included.
            "hint": gr.update(visible=len(choices) == 1),
            "proposed": {"run": "" if is_chosen else chosen or "", "lane": lane},
        }

    def _model_choices(self) -> dict[str, Any]:
        """Return the local models, for each field that names one."""
        models = [(model.label, model.name) for model in catalogue.available(self.store.settings) if model.local]
        # The embedded model is not of the BERT family.
        encoders = [choice for choice in models if choice[1] != embedded.NAME]
        return {"model": gr.update(choices=models), "bert_score": gr.update(choices=encoders)}

    def follow_run(self, run: str | None, lanes: list[str] | None, proposed: dict[str, str]) -> dict[str, Any]:
        """Select the adapter of a run that the user chose, in place of the lane that the page itself had selected."""
        before, lane = proposed.get("lane", ""), self._newest_lane(run)
        # Gradio sends the event also when the list is left as it was.
        if not run or run == proposed.get("run"):
            return {}
        if not lane or before not in (lanes or []):
            return {"proposed": {"run": "", "lane": before}}
        return {"lanes": gr.update(value=self._follow(lanes, before, lane)), "proposed": {"run": "", "lane": lane}}

    def _follow(self, lanes: list[str], before: str, lane: str) -> list[str]:
        """Return the lanes after the proposed one has changed; the model beside it changes if it was proposed, too."""
        return self._propose(lane) if lanes == self._propose(before) else _replace_lane(lanes, before, lane)

    def _propose(self, lane: str) -> list[str]:
        """Return the lanes to compare: a run's adapter beside its parent's or the base model."""
        if not lane:
            return [BASE]
        run, runs = parse_lane(lane)[0], self.store.runs
        parent = self._newest_lane(parent_run(runs, run))
        if not parent:
            return [BASE, lane]
        # A copy on other weights cannot answer beside its parent.
        bases = {BaseIdentity.from_config(runs.run(each).config()) for each in (run, parse_lane(parent)[0])}
        return [parent if len(bases) == 1 else BASE, lane]

    def _newest_lane(self, run_id: str | None) -> str:
        """Return the lane of a run's newest adapter; "" if it has none."""
        of_run = [lane for _, lane in self.lanes() if lane != BASE and parse_lane(lane)[0] == run_id]
        return next(iter(of_run), "")

    @staticmethod
    def update_visibility(prompts: str) -> dict[str, Any]:
        """Show the fields that the kind of prompts needs."""
        needed_by = {"run": "held-out", "subset": "subset", "split": "subset", "upload": "file"}
        return {name: gr.update(visible=prompts == kind) for name, kind in needed_by.items()}

    @staticmethod
    def check(upload: str | None, **values: Any) -> Iterator[dict[str, Any]]:
        """Mark the fields that are invalid, or remove all marks, before an evaluation is shown as being prepared."""
        try:
            parse_config(upload, values)
        except InvalidEvaluationError as error:
            more = {"more": gr.update(open=True)} if is_among_settings(error.at_fields) else {}
            yield {"field_errors": field_errors(FORM, error.at_fields, elements=ELEMENTS), **more}
            raise ShownError(str(error)) from error
        yield {"field_errors": field_errors(FORM, {})}

    def start(self, upload: str | None, **values: Any) -> dict[str, str]:
        """Start an evaluation and select it."""
        config = parse_config(upload, values)
        evaluation = process.submit(self.store, config, Path(upload) if config.prompts == "file" else None)
        count = evaluation.saved_state().prompts
        info(f"{counted(count, 'prompt')}. It continues when this page is closed.", title="Evaluation started")
        return {"evaluation": evaluation.id}


def _replace_lane(lanes: list[str], old: str, new: str) -> list[str]:
    """Return lanes with one in place of another, none of them twice."""
    return list(dict.fromkeys(new if lane == old else lane for lane in lanes))


def parse_config(upload: str | None, values: dict[str, Any]) -> EvaluationConfig:
    """Return the form's values as a configuration, without those that the kind of prompts does not use.

    Args:
        upload: Path of the uploaded file of prompts.
        values: Widget values by field name.

    Raises:
        InvalidEvaluationError: Values are missing or invalid; every such field is named by its label.
    """
    titles = {name: field.title for name, field in EvaluationConfig.model_fields.items()}
    kind = values.get("prompts")
    if kind == "file" and not upload:
        text = f"No file is selected. Choose one that ends in {', '.join(readers.SUFFIXES)}."
        raise InvalidEvaluationError({"file": text})
    if empty := [name for name in NUMBERS if values.get(name) is None]:
        raise InvalidEvaluationError({name: f"{titles[name]} is empty. Enter a value." for name in empty})
    if not values.get("lanes"):
        text = f"No model is selected. Choose one to {MAX_LANES} under {titles['lanes']}."
        raise InvalidEvaluationError({"lanes": text})
    # Hidden fields keep their values, but must not be saved as if the evaluation had used them.
    used = {"held-out": {"run"}, "subset": {"subset", "split"}}.get(kind, set())
    kept = {name: value for name, value in values.items() if name not in ("run", "subset", "split") or name in used}
    kept = {name: "" if value is None else value for name, value in kept.items()}
    if kind == "file":
        kept["file"] = Path(upload).name
    try:
        return EvaluationConfig(**kept)
    except ValidationError as error:
        raise _as_invalid(error, titles) from error


def _as_invalid(error: ValidationError, titles: dict[str, str]) -> StudioError:
    """Return pydantic's problems as an error with a sentence per field; one without a field has only a message."""
    found: dict[str, str] = {}
    for problem in error.errors():
        fields = fields_of(problem)
        if not fields or fields[-1] not in titles:
            return StudioError(sentences(error, lambda name: titles.get(name, name)))
        found[fields[-1]] = sentence(titles[fields[-1]], problem)
    return InvalidEvaluationError({name: found[name] for name in titles if name in found})
