"""Data card of an exported subset: front matter for the Hub, the recipe in words, counts and hash."""

from core.data.formats import EXPORT_LABELS, ExportFormat
from core.data.subset import Subset
from core.hub.licenses import license_fields
from core.system.counting import counted
from core.system.markdown import plain

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_HUB_KINDS = {"parquet": "parquet", "jsonl": "jsonl", "json": "json", "csv": "csv"}


def data_card(
    subset: Subset, form: ExportFormat, kinds: list[str], counts: dict[str, int], not_written: dict[str, list[int]],
    languages: list[str],
) -> str:  # fmt: skip
    """Return the README.md of an export as Markdown with YAML front matter.

    Args:
        subset: The subset.
        form: The export format.
        kinds: Kinds of files that were written.
        counts: Number of rows written, by split.
        not_written: Row numbers that the format cannot represent, by reason.
        languages: ISO 639 codes of the languages of the answers.
    """
    from huggingface_hub import DatasetCardData

    total = sum(counts.values())
    # The front matter names one kind of file, so that the Hub's viewer does not show every row several times.
    ending = next((ending for kind, ending in _HUB_KINDS.items() if kind in kinds), None)
    files = [{"split": split, "path": f"{split}.{ending}"} for split in counts]
    front = DatasetCardData(
        **license_fields(subset.source.licence),
        language=languages or None,
        task_categories=["text-generation"],
        pretty_name=subset.name,
        size_categories=[next((label for most, label in _SIZES if total < most), "n>1M")],
        tags=["qlora-studio"],
        source_datasets=[subset.source.name] if subset.source.kind == "hub" else None,
        configs=[{"config_name": "default", "data_files": files}] if ending else None,
    )
    return f"---\n{front.to_yaml()}\n---\n\n{_body(subset, form, counts, not_written)}"


def _body(subset: Subset, form: ExportFormat, counts: dict[str, int], not_written: dict[str, list[int]]) -> str:
    source = subset.source
    lines = [
        f"# {plain(subset.name)}",
        "",
        plain(subset.describe()),
        "",
        "| | |",
        "|---|---|",
        *(f"| {split} | {counted(count, 'row')} |" for split, count in counts.items()),
        f"| format | {EXPORT_LABELS[form]} |",
        f"| source | {plain(source.name)} |",
        f"| revision | {plain(source.revision or 'SHA-256 ' + source.key)} |",
        f"| license | {plain(source.licence or 'not stated by the source')} |",
        f"| SHA-256 of the conversations | `{subset.sha256}` |",
    ]
    gone = subset.left_out | {reason: len(rows) for reason, rows in not_written.items()}
    if gone:
        lines += ["", "Rows that were left out:", ""]
        lines += [f"- {count:,}: {plain(reason)}" for reason, count in gone.items()]
    lines += [
        "",
        "`recipe.json` is the recipe. Running it again on the same source gives the same bytes:",
        "",
        "```",
        f"python -m core data subset {subset.recipe.dataset} {subset.name} --recipe-file recipe.json",
        "```",
        "",
    ]
    return "\n".join(lines)
