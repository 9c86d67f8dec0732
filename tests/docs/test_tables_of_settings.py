"""Tables of docs/ that repeat settings, limits, formats or events name all of them, with their defaults."""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from core.access.quotas import Quotas
from core.chat.sampling import Sampling
from core.cli import StudioCommand
from core.data.formats import EXPORT_FORMATS
from core.evaluate.config import EvaluationConfig
from core.export.config import FORMS, ExportConfig
from core.export.import_settings import ImportSettings
from core.hub.target import PushTarget
from core.models import embedded
from core.runs import events
from core.runs.config import QLoRAConfig, is_basic
from core.settings import Settings
from studio.api import ApiCalls
from tests.helpers.source_files import PROJECT

# Settings of an evaluation that choose its prompts and lanes; the steps above the table name them.
_CHOSEN = {"prompts", "run", "subset", "split", "file", "lanes"}
_WORDS = {True: "on", False: "off", "": "empty", embedded.NAME: "the embedded model"}


def table(page: str, head: str) -> dict[str, str]:
    """Return the default that a page's table gives for each name: "A, B | 1, 2", or one default for all of a line."""
    text = (PROJECT / "docs" / page).read_text(encoding="utf-8")
    lines = text.split(f"| {head} | default | ", 1)[1].split("\n\n")[0].splitlines()[2:]
    found: dict[str, str] = {}
    for line in lines:
        names, defaults = (cell.split(", ") for cell in line.strip("| ").split(" | ")[:2])
        assert len(defaults) in (1, len(names)), line
        found |= dict(zip(names, defaults if len(defaults) == len(names) else defaults * len(names), strict=True))
    return found


def defaults(fields: Iterable[tuple[str, FieldInfo]]) -> dict[str, str]:
    """Return the defaults of settings as the tables write them, by title."""

    def word(value: object) -> str:
        if isinstance(value, (bool, str)):
            return _WORDS.get(value, str(value))
        return f"{value:.10g}"

    return {field.title: word(field.default) for _, field in fields}


@pytest.mark.parametrize(
    ("page", "fields"),
    [
        ("training.md", [(name, field) for name, field in QLoRAConfig.model_fields.items() if is_basic(name)]),
        ("chat.md", Sampling.model_fields.items()),
        ("evaluate.md", [(name, f) for name, f in EvaluationConfig.model_fields.items() if name not in _CHOSEN]),
    ],
)
def test_table_of_settings_has_all_with_their_defaults(page, fields):
    assert table(page, "setting") == defaults(fields)


@pytest.mark.parametrize(
    ("section", "settings"),
    [
        ("Merged models, GGUF and Ollama", ExportConfig),
        ("Push to the Hub", PushTarget),
        ("Import an adapter", ImportSettings),
    ],
)
def test_tables_of_exports_have_all_settings(section, settings):
    text = (PROJECT / "docs/export.md").read_text(encoding="utf-8").split(f"## {section}\n", 1)[1]
    lines = text.split("| setting | default | meaning |\n", 1)[1].split("\n\n")[0].splitlines()[1:]
    named = {name for line in lines for name in line.split("|")[1].strip().split(", ")}
    assert named == {field.title for name, field in settings.model_fields.items() if name != "form"}


def test_every_form_of_export_has_its_command():
    text = (PROJECT / "docs/export.md").read_text(encoding="utf-8")
    assert FORMS.keys() - set(re.findall(r"`export RUN --form ([\w-]+)[ `]", text)) == {"adapter"}


def test_every_command_is_in_the_table_of_commands():
    def leaves(command: type[BaseModel], words: str = "") -> Iterator[str]:
        """Yield the words of each command below one."""
        fields = command.model_fields.items()
        found = {name: field for name, field in fields if "CliSubCommand" in repr(field.metadata)}
        for name, field in found.items():
            kind = next(each for each in get_args(field.annotation) if each is not type(None))
            yield from leaves(kind, f"{words} {name.replace('_', '-')}".strip())
        if not found:
            yield words

    text = (PROJECT / "docs/cli.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| `")]
    named = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert [
        words for words in leaves(StudioCommand) if not any(f"{name} ".startswith(f"{words} ") for name in named)
    ] == []


def test_every_folder_is_named_where_the_files_are_listed():
    text = (PROJECT / "docs/deploy.md").read_text(encoding="utf-8").split("## Files\n", 1)[1]
    folders = [name.removesuffix("_dir") for name, value in vars(Settings).items() if name.endswith("_dir")]
    assert folders
    assert [name for name in folders if f"`{name}/`" not in text] == []


def quotas_in(page: str) -> dict[str, str]:
    """Return the default that a page gives for each quota, by the name of its field."""
    text = (PROJECT / "docs" / page).read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for names, values in re.findall(r"^\| (`STUDIO_QUOTA_\w+`(?:, `…_\w+`)*) \| ([^|]+) \|", text, re.MULTILINE):
        variables = [name.lower() for name in re.findall(r"`(?:STUDIO_QUOTA|…)_(\w+)`", names)]
        found |= dict(zip(variables, values.strip().split(", "), strict=True))
    return found


def test_tables_of_quotas_have_all_with_their_defaults():
    expected = {name: f"{field.default:.10g}" for name, field in Quotas.model_fields.items()}
    assert quotas_in("deploy.md") == expected
    reading = quotas_in("data.md")
    assert reading
    assert reading.items() <= expected.items()


def first_column(page: str, head: str) -> list[str]:
    """Return the first cells of a page's table, without backticks."""
    text = (PROJECT / "docs" / page).read_text(encoding="utf-8")
    lines = text.split(f"| {head} |\n", 1)[1].split("\n\n")[0].splitlines()[1:]
    return [line.strip("| ").split(" | ")[0].strip("`") for line in lines]


def test_table_of_export_formats_has_all():
    assert first_column("export.md", "format | one row") == list(EXPORT_FORMATS)


def test_every_kind_of_event_is_named_where_events_are_described():
    kinds = set(events._KINDS)
    line = re.search(r"^\| `events\.jsonl` \|(.+)$", (PROJECT / "docs/training.md").read_text("utf-8"), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", line[1])) == kinds
    described = inspect.getdoc(ApiCalls.run_events).split("\n\n")[0]
    assert set(re.findall(r"\w+", described.partition(":")[2])) == kinds
