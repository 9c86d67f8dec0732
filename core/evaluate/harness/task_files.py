"""Check of a folder of tasks of lm-evaluation-harness, and its copy that is measured.

A task is a YAML file beside its data files. The harness can import functions that a task names, download data and
metrics with code of their own, and run templates with all of Python. Here a task can have only settings that are known
to be data: everything else is refused with a sentence. What is checked is written anew, with the included files merged
and the data files by their full paths, so that exactly this is measured.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from core.errors import StudioError
from core.evaluate.harness.config import AS_TASK, HarnessConfig
from core.settings import Settings, inside, is_plain_name
from core.system.strict_yaml import YAML_ERRORS, parse_yaml

EXAMPLE = "example"
_EXAMPLE_FOLDER = Path(__file__).parent / "example"
MAX_TASKS = 100
_MAX_BYTES = 200_000
_MAX_INCLUDES = 5

_TEXTS = {
    "doc_to_text", "doc_to_target", "doc_to_choice", "gen_prefix", "target_delimiter", "fewshot_delimiter"
}  # fmt: skip
_TASK = _TEXTS | {
    "task", "task_alias", "tag", "dataset_path", "dataset_name", "dataset_kwargs", "training_split",
    "validation_split", "test_split", "fewshot_split", "description", "fewshot_config", "num_fewshot", "metric_list",
    "output_type", "generation_kwargs", "repeats", "filter_list", "should_decontaminate",
    "doc_to_decontamination_query", "metadata",
}  # fmt: skip
_FEWSHOT = _TEXTS | {"sampler", "split", "fewshot_indices", "samples"}
# Settings with which a task executes code, its own or that of a data set, wherever they stand.
_CODE = {
    "unsafe_code", "trust_remote_code", "class", "process_docs", "process_results", "custom_dataset", "use_prompt",
    "hf_evaluate",
}  # fmt: skip
_DATA = {"data_files", "field", "delimiter", "column_names", "encoding"}
# Kinds of files that `datasets` reads by itself.
_BUILDERS = ("json", "csv", "parquet", "text")
# Metrics that the harness itself has, with their scale. It would download a metric of any other name, which is code.
METRICS = {
    "acc": "share", "acc_norm": "share", "acc_bytes": "share", "acc_mutual_info": "share", "acc_all": "share",
    "exact_match": "share", "f1": "share", "likelihood": "share", "mcc": "ratio", "brier_score": "ratio",
    "perplexity": "ratio", "word_perplexity": "ratio", "byte_perplexity": "ratio", "bits_per_byte": "ratio",
    "bleu": "score", "chrf": "score", "chrf++": "score", "ter": "score",
}  # fmt: skip
_METRIC = {
    "metric", "aggregation", "higher_is_better", "ignore_case", "ignore_punctuation", "ignore_numbers",
    "regexes_to_ignore",
}  # fmt: skip
_FILTERS = (
    "regex", "regex_pos", "multi_choice_regex", "remove_whitespace", "lowercase", "uppercase", "map", "format_span",
    "take_first", "take_first_k", "majority_vote",
)  # fmt: skip
_OUTPUTS = ("multiple_choice", "loglikelihood", "loglikelihood_rolling", "generate_until")


@dataclass(frozen=True)
class TaskFiles:
    """Checked tasks.

    Attributes:
        tasks: The settings of each task by its name, with data files by their full paths.
        notes: Sentences about files of the folder that are no tasks.
    """

    tasks: dict[str, dict[str, Any]]
    notes: list[str]

    def write(self, folder: Path, cache: Path) -> None:
        """Write the tasks for the harness.

        Args:
            folder: An empty folder.
            cache: Folder in which `datasets` keeps the tables that it makes of the data files.
        """
        for name, task in self.tasks.items():
            data = {**task["dataset_kwargs"], "cache_dir": str(cache)}
            text = yaml.safe_dump({**task, "dataset_kwargs": data}, allow_unicode=True, sort_keys=False)
            inside(folder, f"{name}.yaml").write_text(text, encoding="utf-8")


def list_folders(settings: Settings) -> list[str]:
    """Return the names of the folders of tasks: those in STUDIO_HOME/harness, and the example."""
    found = [path.name for path in settings.harness_dir.glob("*") if path.is_dir() and is_plain_name(path.name)]
    return sorted({*found, EXAMPLE})


def find_folder(settings: Settings, name: str) -> Path:
    """Return a folder of tasks.

    Raises:
        StudioError: There is no folder of that name.
    """
    folder = inside(settings.harness_dir, name, "folder of tasks", links=True)
    if name == EXAMPLE and not folder.exists():
        return _EXAMPLE_FOLDER
    if not folder.is_dir():
        raise StudioError(
            f"There is no folder of tasks {name!r}. Make it in {settings.harness_dir} with the YAML and data files of "
            f"the tasks, or choose one of: {', '.join(list_folders(settings))}."
        )
    return folder


def read_tasks(folder: Path, config: HarnessConfig) -> TaskFiles:
    """Return the tasks of a folder that are to be measured.

    Args:
        folder: The folder.
        config: Which of its tasks are measured, and with how many examples.

    Raises:
        StudioError: A file is no task, would execute code, or names data that is not in the folder.
    """
    tasks: dict[str, dict[str, Any]] = {}
    notes, only = [], config.only_names()
    for path in sorted(folder.rglob("*.yaml")):
        values = _read_file(path, folder)
        name = values.get("task")
        if "group" in values or isinstance(name, list):
            notes.append(f"{path.name} is a group. Its tasks are measured one by one.")
        elif name is None:
            notes.append(f"{path.name} names no task, so it is only included by others.")
        elif not only or name in only:
            if name in tasks:
                raise StudioError(f"The task {name!r} is in two files of {folder.name}. Rename one of them.")
            tasks[name] = _check_task(values, path, folder)
    if missing := [name for name in only if name not in tasks]:
        raise StudioError(f"The folder {folder.name} has no task {missing[0]!r}. It has: {', '.join(tasks) or 'none'}.")
    if not tasks:
        raise StudioError(f"The folder {folder.name} has no task. Put YAML files with a line such as task: NAME there.")
    if len(tasks) > MAX_TASKS:
        raise StudioError(f"The folder {folder.name} has {len(tasks):,} tasks. Choose at most {MAX_TASKS} of them.")
    if config.shots != AS_TASK:
        tasks = {name: {**task, "num_fewshot": config.shots} for name, task in tasks.items()}
    return TaskFiles(tasks, notes)


def _read_file(path: Path, folder: Path, depth: int = 0) -> dict[str, Any]:
    """Return the settings in a YAML file, after those of the files that it includes."""
    _check_inside(path, folder, path.name)
    if path.stat().st_size > _MAX_BYTES:
        raise StudioError(f"{path.name} has more than {_MAX_BYTES:,} bytes. Put the data into files of its own.")
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except YAML_ERRORS as error:
        if "!function" in str(error):
            raise StudioError(
                f"{path.name} names a function (!function), which would be executed. Write the task with templates "
                "such as doc_to_text: '{{question}}' instead."
            ) from error
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise StudioError(f"{path.name} is not valid YAML{where}, or has tags or aliases. Mend it.") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise StudioError(f"{path.name} is no task. Expected lines such as task: NAME.")
    included: dict[str, Any] = {}
    named = values.pop("include", [])
    for name in named if isinstance(named, list) else [named]:
        if depth >= _MAX_INCLUDES:
            raise StudioError(
                f"{path.name} includes files that include others, more than {_MAX_INCLUDES} in a row. Join some."
            )
        included |= _read_file(_find_file(name, path, folder), folder, depth + 1)
    return included | values


def _check_task(values: dict[str, Any], path: Path, folder: Path) -> dict[str, Any]:
    """Return the settings of a task, with its data files by their full paths."""
    values = _check_names(path, "the task", values, _TASK)
    name, builder = values.get("task"), values.get("dataset_path")
    if not isinstance(name, str) or not is_plain_name(name):
        raise StudioError(f"{path.name} names the task {str(name)[:80]!r}. Use letters, digits, '.', '_' and '-'.")
    if builder not in _BUILDERS:
        raise StudioError(
            f"{path.name} has dataset_path {str(builder)[:80]!r}, which is not on this machine. Expected one of "
            f"{', '.join(_BUILDERS)}, and the files under dataset_kwargs: data_files."
        )
    if (output := values.get("output_type", "generate_until")) not in _OUTPUTS:
        raise StudioError(f"{path.name} has output_type {str(output)[:80]!r}. Expected one of {', '.join(_OUTPUTS)}.")
    metrics = [_check_names(path, "metric_list", each, _METRIC) for each in _dicts(values, "metric_list", path)]
    for metric in metrics:
        if metric.get("metric") not in METRICS:
            raise StudioError(
                f"{path.name} has the metric {str(metric.get('metric'))[:80]!r}, which the harness would download as "
                f"code. Expected one of {', '.join(METRICS)}."
            )
    for chain in _dicts(values, "filter_list", path):
        for each in _dicts(chain, "filter", path):
            if each.get("function") not in _FILTERS:
                raise StudioError(
                    f"{path.name} has the filter {str(each.get('function'))[:80]!r}. Expected one of "
                    f"{', '.join(_FILTERS)}."
                )
    checked = {**values, "dataset_kwargs": _resolve_data(values.get("dataset_kwargs") or {}, path, folder)}
    if metrics:
        checked["metric_list"] = metrics
    if values.get("fewshot_config"):
        checked["fewshot_config"] = _check_names(path, "fewshot_config", values["fewshot_config"], _FEWSHOT)
    return checked


def _check_names(path: Path, where: str, values: Any, known: set[str]) -> dict[str, Any]:
    """Return settings without those that switch code off; refuse those with code, and unknown ones."""
    if not isinstance(values, dict):
        raise StudioError(f"{path.name} has no names and values under {where}. Write NAME: VALUE.")
    for key, value in values.items():
        if key in _CODE and value not in (False, None):
            raise StudioError(f"{path.name} has {key}, with which the harness would execute code. Remove it.")
    values = {key: value for key, value in values.items() if key not in _CODE}
    if unknown := sorted(key for key in map(str, values) if key not in known):
        raise StudioError(
            f"{path.name} has {unknown[0]!r} under {where}, which is not known to be without code. Remove it. "
            f"Known are: {', '.join(sorted(known))}."
        )
    return values


def _dicts(settings: dict[str, Any], where: str, path: Path) -> list[dict[str, Any]]:
    if (values := settings.get(where)) is None:
        return []
    if not isinstance(values, list) or not all(isinstance(each, dict) for each in values):
        raise StudioError(f"{path.name} needs a list of names and values under {where}. Correct the file.")
    return values


def _resolve_data(values: dict[str, Any], path: Path, folder: Path) -> dict[str, Any]:
    """Return the arguments of `datasets.load_dataset` with the files by their full paths."""
    values = _check_names(path, "dataset_kwargs", values, _DATA)
    files = values.get("data_files")
    if not files:
        raise StudioError(f"{path.name} names no data. Add dataset_kwargs: data_files with files of its folder.")

    def resolve(named: Any) -> Any:
        if isinstance(named, list):
            return [resolve(each) for each in named]
        return str(_find_file(named, path, folder))

    found = {split: resolve(named) for split, named in files.items()} if isinstance(files, dict) else resolve(files)
    return {**values, "data_files": found}


def _find_file(name: Any, path: Path, folder: Path) -> Path:
    """Return a file that a task names: beside the task, or from the folder of all tasks on."""
    for start in (path.parent, folder):
        found = start / str(name)
        if found.is_file():
            _check_inside(found, folder, path.name)
            return found.resolve()
    missing = json.dumps(str(name)[:80])
    raise StudioError(f"{path.name} names the file {missing}, which is not in {folder.name}. Put it there.")


def _check_inside(path: Path, folder: Path, name: str) -> None:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise StudioError(f"{name} names {str(path)[:200]!r}, which is outside of {folder.name}. Copy it there.")
