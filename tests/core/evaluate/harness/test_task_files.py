"""Tests of core.evaluate.harness.task_files: folders of tasks that are read, and tasks that are refused."""

import pytest
import yaml

from core.errors import StudioError
from core.evaluate.harness.config import HarnessConfig
from core.evaluate.harness.task_files import EXAMPLE, find_folder, list_folders, read_tasks

TASK = """\
task: colors
dataset_path: json
dataset_kwargs:
  data_files: {test: colors.jsonl}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: 0
metric_list:
  - metric: acc
metadata: {version: 2.0}
"""


@pytest.fixture
def folder(settings):
    found = settings.harness_dir / "mine"
    found.mkdir()
    (found / "colors.yaml").write_text(TASK)
    (found / "colors.jsonl").write_text('{"question": "The sky is", "choices": ["blue", "red"]}\n')
    return found


def read(folder, **config):
    return read_tasks(folder, HarnessConfig(tasks=folder.name, **config))


def test_folders_are_those_of_the_home_and_the_example(settings, folder):
    (settings.harness_dir / "a file").write_text("")
    assert list_folders(settings) == [EXAMPLE, "mine"]
    assert find_folder(settings, "mine") == folder
    assert set(read(find_folder(settings, EXAMPLE)).tasks) == {"capitals", "sums"}


@pytest.mark.parametrize("name", ["../runs", "/etc", "", "a/b", "no-such-folder"])
def test_other_folders_are_refused(settings, name):
    with pytest.raises(StudioError, match=r"cannot be used as a folder of tasks|There is no folder of tasks"):
        find_folder(settings, name)


def test_what_is_written_is_what_was_checked(folder, tmp_path):
    files = read(folder, shots=2)
    files.write(tmp_path, tmp_path / "cache")
    (written,) = tmp_path.glob("*.yaml")
    found = yaml.safe_load(written.read_text())
    assert found["dataset_kwargs"] == {
        "data_files": {"test": str(folder / "colors.jsonl")}, "cache_dir": str(tmp_path / "cache")
    }  # fmt: skip
    assert found["num_fewshot"] == 2
    assert {name: found[name] for name in ("task", "doc_to_text", "metric_list")} == {
        "task": "colors", "doc_to_text": "{{question}}", "metric_list": [{"metric": "acc"}]
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("process_docs: !function utils.f", "names a function (!function), which would be executed"),
        ("doc_to_text: !!python/object/apply:os.system [ls]", "is not valid YAML"),
        ("unsafe_code: true", "has unsafe_code, with which the harness would execute code"),
        ("process_results: utils.f", "has process_results, with which the harness would execute code"),
        ("class: Mine", "has class, with which the harness would execute code"),
        ("use_prompt: 'x.yaml:y'", "has use_prompt, with which the harness would execute code"),
        ("custom_dataset: x", "has custom_dataset, with which"),
        ("dataset_kwargs: {trust_remote_code: true, data_files: colors.jsonl}", "has trust_remote_code, with which"),
        ("metric_list: [{metric: acc, hf_evaluate: true}]", "has hf_evaluate, with which"),
        ("metric_list: [{metric: my_metric}]", "the metric 'my_metric', which the harness would download as code"),
        ("metric_list: acc", "needs a list of names and values under metric_list"),
        ("filter_list: [{name: x, filter: [{function: custom}]}]", "has the filter 'custom'. Expected one of regex"),
        ("fewshot_config: {process_docs: x}", "has process_docs, with which"),
        ("fewshot_config: {other: x}", "has 'other' under fewshot_config, which is not known to be without code"),
        ("new_setting: 1", "has 'new_setting' under the task, which is not known to be without code"),
        ("dataset_path: hellaswag", "dataset_path 'hellaswag', which is not on this machine"),
        ("dataset_path: pandas", "dataset_path 'pandas', which is not on this machine"),
        ("output_type: other", "output_type 'other'"),
        ("dataset_kwargs: {}", "names no data"),
        ("dataset_kwargs: {data_files: no.jsonl}", 'names the file "no.jsonl", which is not in mine'),
        ("dataset_kwargs: {data_files: /etc/passwd}", "which is outside of mine"),
        ("dataset_kwargs: {data_files: 'https://example.com/x.jsonl'}", "which is not in mine"),
        ("dataset_kwargs: {data_files: ../outside.jsonl}", "which is outside of mine"),
        ("task: ../colors", "names the task '../colors'. Use letters"),
        ("include: ../outside.yaml", "which is outside of mine"),
        ("include: colors.yaml", "includes files that include others, more than 5 in a row"),
        ("metadata: &a [*a]", "is not valid YAML"),
        ("metadata: [", "is not valid YAML"),
    ],
)
def test_tasks_that_would_execute_code_or_leave_the_folder_are_refused(folder, change, sentence):
    (folder.parent / "outside.yaml").write_text("test_split: test\n")
    (folder.parent / "outside.jsonl").write_text("{}\n")
    name = change.partition(":")[0]
    values = {key: value for key, value in yaml.safe_load(TASK).items() if key != name}
    (folder / "colors.yaml").write_text(yaml.safe_dump(values) + change + "\n")
    with pytest.raises(StudioError) as refused:
        read(folder)
    assert sentence in str(refused.value)
    assert str(refused.value).startswith("colors.yaml ")


def test_a_link_out_of_the_folder_is_refused(folder):
    (folder / "linked.jsonl").symlink_to("/etc/passwd")
    (folder / "colors.yaml").write_text(TASK.replace("colors.jsonl", "linked.jsonl"))
    with pytest.raises(StudioError, match="outside of mine"):
        read(folder)


def test_settings_that_switch_code_off_are_no_code(folder):
    (folder / "colors.yaml").write_text(TASK + "unsafe_code: false\nprocess_docs: null\n")
    assert not {"unsafe_code", "process_docs"} & read(folder).tasks["colors"].keys()


def test_included_files_come_first_and_files_without_a_task_are_named(folder):
    (folder / "common.yaml").write_text("num_fewshot: 4\noutput_type: generate_until\n")
    (folder / "group.yaml").write_text("group: all\ntask: [colors]\n")
    (folder / "colors.yaml").write_text(TASK + "include: common.yaml\n")
    files = read(folder)
    assert (files.tasks["colors"]["num_fewshot"], files.tasks["colors"]["output_type"]) == (4, "multiple_choice")
    assert files.notes == [
        "common.yaml names no task, so it is only included by others.",
        "group.yaml is a group. Its tasks are measured one by one.",
    ]


def test_chosen_tasks_are_read_and_unknown_ones_named(folder):
    (folder / "more.yaml").write_text(TASK.replace("task: colors", "task: more"))
    assert set(read(folder).tasks) == {"colors", "more"}
    assert set(read(folder, only=" more, ").tasks) == {"more"}
    with pytest.raises(StudioError, match=r"has no task 'other'\. It has: colors"):
        read(folder, only="colors, other")
    (folder / "twice.yaml").write_text(TASK)
    with pytest.raises(StudioError, match="'colors' is in two files"):
        read(folder)


def test_an_empty_folder_says_what_to_put_there(settings):
    (settings.harness_dir / "empty").mkdir()
    with pytest.raises(StudioError, match="Put YAML files"):
        read(settings.harness_dir / "empty")
