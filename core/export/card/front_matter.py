"""Front matter of a model card: the only place that builds it, for every form of export.

The Hub draws its model tree from `base_model` and `base_model_relation`: an adapter, a "finetune" (one base, one set of
whole weights), a "merge" (several models), or "quantized" (GGUF, or 4 bits). `model-index` carries the metrics of the
newest evaluation, each with the base's value and the interval of their difference.
"""

import math
from typing import Any

from core.data.subset import Subset
from core.data.subset_languages import find_languages
from core.evaluate.statistics.paired import PairedDifference
from core.export.card.facts import base_name, folder_name, reached
from core.export.card.measured import Comparison
from core.export.config import Form
from core.hub import client
from core.hub.licenses import license_fields
from core.models.license import BaseLicense
from core.runs.store import Run
from core.settings import Settings

TAG = "qlora-studio"
_LIBRARIES: dict[str, str] = {
    "adapter": "peft", "combined": "peft", "merged": "transformers", "merged-4bit": "transformers",
    "mlx": "mlx",
}  # fmt: skip
_RELATIONS: dict[str, str] = {
    "adapter": "adapter", "combined": "adapter", "gguf-adapter": "adapter", "merged": "finetune",
    "mlx": "adapter",
}  # fmt: skip
_TAGS: dict[str, list[str]] = {
    "adapter": ["peft"], "combined": ["peft"], "merged": [], "merged-4bit": ["bitsandbytes", "4-bit"],
    "ollama": ["gguf", "ollama"], "mlx": ["mlx"],
}  # fmt: skip
_DIGITS = 6


def front_matter(
    settings: Settings, run: Run, adapter: str, form: Form, license: BaseLicense, found: Comparison | None,
    merged_with: tuple[str, ...] = (), others: tuple[Run, ...] = (), is_measured: bool = True,
) -> str:  # fmt: skip
    """Return the front matter of a model card as YAML, without the lines around it.

    Args:
        settings: The studio's settings.
        run: The run.
        adapter: "final", or "step N".
        form: The form of the export.
        license: The license of the base model.
        found: The newest evaluation beside the base; None if there is none.
        merged_with: Further models that were merged into this one, by their ids on the Hub.
        others: Runs whose adapters were added to this one.
        is_measured: Whether the measurements of the adapter hold for what is exported.
    """
    from huggingface_hub import ModelCardData

    subset, task = run.subset(), "text-classification" if run.config().classifies else "text-generation"
    bases = [base_name(run), *merged_with]
    data = ModelCardData(
        base_model=bases if merged_with else bases[0],
        base_model_relation="merge" if merged_with else _RELATIONS.get(form, "quantized"),
        datasets=list(dict.fromkeys(name for one in (run, *others) for name in _datasets(one.subset()) or [])) or None,
        language=find_languages(settings, run.config().subset) or None,
        library_name=_LIBRARIES.get(form, "gguf"),
        pipeline_tag=task,
        tags=_tags(form, run),
        model_name=license.model_name(folder_name(run, adapter)),
        eval_results=(_results(run, adapter, task, subset, found) if is_measured else None) or None,
        **license_fields(license.id, license.name, license.link),
    )
    if data.eval_results is None:
        # The name belongs to model-index, which is absent without results.
        data.pop("model_name")
    return data.to_yaml()


def _tags(form: Form, run: Run) -> list[str]:
    tags = [TAG, "qlora" if run.config().quantization in ("nf4", "fp4") else "lora"]
    return [*tags, *_TAGS.get(form, ["gguf"])]


def _datasets(subset: Subset | None) -> list[str] | None:
    """Return the training data that the Hub has."""
    is_there = subset and subset.source.kind == "hub" and client.is_hub_id(subset.source.name)
    return [subset.source.name] if subset and is_there else None


def _results(
    run: Run, adapter: str, task: str, subset: Subset | None, found: Comparison | None
) -> list[Any]:  # fmt: skip
    """Return the held-out loss of the run and the metrics of an evaluation as the Hub's EvalResult."""
    from huggingface_hub import EvalResult

    source = subset.source if subset else None
    data = {
        "task_type": task,
        "dataset_type": (_datasets(subset) or [subset.name if subset else run.config().subset])[0],
        "dataset_name": subset.name if subset else run.config().subset,
        "dataset_revision": source.revision if source else None,
    }
    results, now = [], reached(run, adapter)
    if isinstance(now.base_loss, float) and isinstance(now.held_out_loss, float):
        values = {"base": round(now.base_loss, _DIGITS), "step": now.step}
        results.append(
            EvalResult(
                **data, dataset_split="held-out", metric_type="held_out_loss", metric_name="Held-out loss of the run",
                metric_value=round(now.held_out_loss, _DIGITS), metric_args=values,
            )
        )  # fmt: skip
    for metric, difference in found.metrics if found else ():
        data_of_evaluation = data | {"dataset_name": found.prompts, "dataset_args": {"evaluation": found.evaluation}}
        results.append(
            EvalResult(
                **data_of_evaluation, metric_type=metric.name, metric_name=metric.title,
                metric_value=round(difference.second_mean, _DIGITS), metric_args=_arguments(difference),
            )
        )  # fmt: skip
    return results


def _arguments(found: PairedDifference) -> dict[str, Any]:
    """Return the base's value of a metric, and the difference with its interval, if there is one."""
    values: dict[str, Any] = {
        "base": round(found.first_mean, _DIGITS), "difference": round(found.difference, _DIGITS), "rows": found.rows,
    }  # fmt: skip
    if math.isfinite(found.low) and math.isfinite(found.high):
        ends = [round(end, _DIGITS) for end in (found.low, found.high)]
        values["interval_of_difference"] = {"confidence": found.confidence, "low": ends[0], "high": ends[1]}
    return values
