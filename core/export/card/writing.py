"""The files of a card: README.md, the curves, and the license with its notice."""

import io
import time
from dataclasses import dataclass, field
from pathlib import Path

from core.data.listing import list_some
from core.export.card.facts import base_name, base_note, describe_result, describe_rows, last_step, reached
from core.export.card.front_matter import front_matter
from core.export.card.loading import INSTALL, example_code, list_serving, loaders
from core.export.card.measured import (
    Comparison,
    count_blind_votes,
    describe_comparison,
    describe_votes,
    find_comparison,
)
from core.export.config import FORMS, ExportConfig
from core.export.parts import Combined
from core.export.publish.check import read_check
from core.export.result import Fidelity
from core.models.license import BaseLicense, read_license
from core.runs import classifier, plots, receipt, yaml_io
from core.runs.adapters import adapter_folder
from core.runs.imported import ImportedAdapter
from core.runs.metrics_series import Timeline
from core.runs.store import Run
from core.settings import Settings
from core.system.markdown import code_span, fenced, plain

README, NOTICE = "README.md", "NOTICE"
_SHOWN_LABELS = 20


@dataclass(frozen=True)
class Subject:
    """Subject of a card: an adapter in one form of export.

    Attributes:
        settings: The studio's settings.
        run: The run.
        adapter: "final", or "step N".
        config: The form and its settings.
        name: Name of the file without its suffix, which is also the folder in a zip.
        fidelity: The comparison with the model here; None if there was none.
        notes: Decisions that were made.
        merged_with: Further models that were merged into this one, by their ids on the Hub.
        combined: The adapters that were combined; None for one adapter.
    """

    settings: Settings
    run: Run
    adapter: str
    config: ExportConfig
    name: str
    fidelity: Fidelity | None = None
    notes: list[str] = field(default_factory=list)
    merged_with: tuple[str, ...] = ()
    combined: Combined | None = None

    @property
    def is_measured(self) -> bool:
        """Return whether the measurements of the adapter hold for it: it was neither scaled nor combined."""
        return self.combined is None and self.config.strength == 1

    @property
    def folder(self) -> Path:
        """Return PEFT's folder of the adapter."""
        return self.combined.folder if self.combined else adapter_folder(self.run, self.adapter)

    @property
    def others(self) -> tuple[Run, ...]:
        """Return the runs whose adapters were added."""
        return self.combined.runs[1:] if self.combined else ()


def card_files(subject: Subject) -> dict[str, bytes]:
    """Return the files of a card by their names, README.md first; they lie beside the model."""
    config, files = subject.run.config(), {}
    license = read_license(subject.settings, config.model, config.revision)
    curves = _plot(subject)
    files[README] = write_readme(subject, license, has_curves=bool(curves)).encode()
    if curves:
        files[plots.LOSS_FILE] = curves
    return files | {name: path.read_bytes() for name, path in license.files.items()} | _notice(license)


def card_names(settings: Settings, run: Run) -> list[str]:
    """Return the names of the files that the card of a run's adapter will have, without making it."""
    config = run.config()
    license = read_license(settings, config.model, config.revision)
    with run.events_file.open("rb") if run.events_file.is_file() else io.BytesIO() as stream:
        has_steps = any(b'"event": "step"' in line for line in stream)
    return [README, *([plots.LOSS_FILE] if has_steps else []), *license.files, *_notice(license)]


def _notice(license: BaseLicense) -> dict[str, bytes]:
    """Return the file with the notice that a license demands, unless the base model comes with one."""
    if license.terms is None or any(name.upper().startswith(NOTICE) for name in license.files):
        return {}
    return {NOTICE: f"{license.terms.notice}\n".encode()}


def write_card(subject: Subject, folder: Path) -> Path:
    """Write the files of a card into a folder, and return the path of its README."""
    for name, content in card_files(subject).items():
        (folder / name).write_bytes(content)
    return folder / README


def _plot(subject: Subject) -> bytes:
    """Return the plot of the losses as PNG, up to the step of a checkpoint; nothing without steps."""
    timeline, target = Timeline(subject.run.events_file), io.BytesIO()
    timeline.update()
    return target.getvalue() if plots.plot_loss(timeline, target, last_step(subject.adapter)) else b""


def write_readme(subject: Subject, license: BaseLicense, has_curves: bool = False) -> str:
    """Return the README of an exported model, with its front matter.

    Args:
        subject: The model.
        license: The license of the base model.
        has_curves: Whether the plot of the losses lies beside it.
    """
    run, adapter = subject.run, subject.adapter
    found = find_comparison(subject.settings, run, adapter)
    front = front_matter(
        subject.settings, run, adapter, subject.config.form, license, found, subject.merged_with, subject.others,
        subject.is_measured,
    )  # fmt: skip
    parts = [
        _head(subject, license),
        _load(subject),
        _data(subject),
        _results(subject, found, has_curves),
        _license(subject, license),
        _checked(subject),
        _made_with(run, adapter),
        _settings(run),
    ]
    body = "\n\n".join("\n".join(lines) for lines in parts if lines)
    return f"---\n{front}\n---\n\n{body}\n"


def _head(subject: Subject, license: BaseLicense) -> list[str]:
    run, config = subject.run, subject.config
    created = time.strftime("%Y-%m-%d", time.gmtime(run.state().created))
    kind = {
        "adapter": "A classifier: a LoRA adapter with a classification head" if run.config().classifies
        else "A LoRA adapter",
        "combined": "A combination of LoRA adapters",
        "gguf-adapter": "A LoRA adapter in GGUF",
        "mlx": "A LoRA adapter for MLX",
    }.get(config.form, f"{FORMS[config.form].label}: a LoRA adapter merged into its base model,")  # fmt: skip
    link = "for" if kind.endswith(("adapter", "adapters", "head", "GGUF", "MLX")) else "that is"
    facts = [*_weights(subject), *map(plain, subject.notes)]
    lines = [
        # Names may come from a stranger's data, and viewers render this file.
        f"# {plain(license.model_name(run.title))}, {subject.adapter}", "",
        f"{kind} {link} {code_span(base_name(run))}, trained with QLoRA Studio on {created}.", "",
        *(f"- {fact}" for fact in facts),
    ]  # fmt: skip
    return [*lines, "", f"**{license.terms.built_with}**"] if license.terms and license.terms.built_with else lines


def _weights(subject: Subject) -> list[str]:
    """Return what the exported weights are, as items of a list."""
    config, used, found = subject.config, FORMS[subject.config.form].settings, subject.fidelity
    facts = [base_note(subject.run)]
    if "base" in used:
        is_trained = config.base == "as trained"
        weights = "as the run saw them, quantized and dequantized" if is_trained else "the original ones"
        facts = [f"The base's weights are {weights}"]
    if config.form == "merged-4bit":
        facts.append("The merged weights are rounded to 4 bits (NF4) once more")
    if subject.combined:
        facts.append(f"Combined ({config.combination}) of {plain(', '.join(subject.combined.parts))}")
    if "strength" in used:
        facts.append(f"Adapter strength: {config.strength:g}")
    if "check_rows" in used:
        facts.append(f"Compared with the model in the studio: {found.describe() if found else 'no'}")
    return facts


def _load(subject: Subject) -> list[str]:
    run, lines = subject.run, ["## Load it"]
    form, name = subject.config.form, subject.name
    for loader in loaders(run, form, name, subject.folder):
        lines += ["", f"With {loader.tool}:", "", fenced(loader.code, loader.language)]
    problems = [plain(one.problem) for one in list_serving(run, form, name, subject.folder) if one.problem]
    lines += ["", *(f"- {problem}" for problem in problems)] if problems else []
    if subject.config.is_adapter:
        use = "To classify a text" if run.config().classifies else "To ask it a question with the run's chat template"
        lines += [
            "", f"{use}, run in the folder above this one:", "", fenced(INSTALL, "bash"), "",
            fenced(example_code(run, subject.adapter, subject.name if subject.combined else ""), "python"),
        ]  # fmt: skip
    return lines


def _data(subject: Subject) -> list[str]:
    run, subset = subject.run, subject.run.subset()
    lines = ["## Training data", "", f"- {plain(describe_rows(run))}"]
    if subset:
        source = subset.source
        lines += [
            f"- Recipe: {plain(subset.recipe.describe())}",
            f"- Source: {plain(source.name)}, revision {plain(source.revision or 'SHA-256 ' + source.key)}",
            f"- License of the source: {plain(source.licence or 'not stated by the source')}",
            f"- SHA-256 of the conversations: {code_span(subset.sha256)}",
        ]
    lines += [f"- {plain(other.title)}, which was added: {plain(_source_of(other))}" for other in subject.others]
    if run.config().classifies:
        names = classifier.read(run.adapters()[subject.adapter]).labels
        lines.append(f"- {len(names):,} labels, in `{classifier.FILE}`: {plain(list_some(names, _SHOWN_LABELS))}")
    return lines


def _source_of(other: Run) -> str:
    """Return where an adapter that was added is from: its rows, or the place that it was imported from."""
    return f"imported from {other.origin().source}" if isinstance(other, ImportedAdapter) else describe_rows(other)


def _results(subject: Subject, found: Comparison | None, has_curves: bool) -> list[str]:
    lines = ["## Before and after", ""]
    if not subject.is_measured:
        changed = (
            "combined with others" if subject.combined else f"exported at a strength of {subject.config.strength:g}"
        )
        lines += [f"These are measurements of the adapter {plain(subject.run.title)} before it was {changed}.", ""]
    lines.append(f"- {describe_result(subject.run, subject.adapter)}")
    if votes := count_blind_votes(subject.settings, subject.run, subject.adapter):
        lines.append(f"- {describe_votes(votes)}")
    compared = describe_comparison(found) if found else ["No evaluation has compared it with its base model."]
    lines += ["", *compared]
    return [*lines, "", f"![{plots.LOSS_TITLE}]({plots.LOSS_FILE})"] if has_curves else lines


def _license(subject: Subject, license: BaseLicense) -> list[str]:
    base, terms = code_span(base_name(subject.run)), license.terms
    if not license.id:
        text = f"The license of {base} was not found in its files. Look it up before you publish this model."
        return ["## License", "", text]
    called = terms.title if terms else f"{license.id} {license.name}" if license.name else license.id
    stated = f"{base} is licensed under {plain(called)}, as {plain(license.source)} states, and so is this model."
    lines = ["## License", "", stated]
    if terms:
        has_text = any(name.startswith("LICENSE") for name in license.files)
        where = "lies beside this file" if has_text else f"is at <{terms.link}>, and must be passed on with this model"
        lines += ["", f"> {plain(terms.notice)}", "", f"The text of the license {where}. {terms.rule}"]
    if terms and terms.prefix:
        lines.append(f"The name of a model made from it must begin with “{terms.prefix}”.")
    return lines


def _checked(subject: Subject) -> list[str]:
    """Return what the check before publishing has found, in numbers."""
    # The check reads one adapter with its own rows.
    if subject.combined or (found := read_check(subject.run, subject.adapter)) is None:
        return ["## Checked before publishing", "", "Personal data, secrets and verbatim extraction were not checked."]
    day = time.strftime("%Y-%m-%d", time.gmtime(found.created))
    return ["## Checked before publishing", "", f"On {day}:", "", *(f"- {plain(text)}" for text in found.describe())]


def _made_with(run: Run, adapter: str) -> list[str]:
    """Return the packages, the code and the choices of a run, as far as it has recorded them."""
    prepared, lines = reached(run, adapter).prepared, []
    if prepared and (made := prepared.lineage):
        packages = ", ".join(f"{name} {version}" for name, version in made.packages.items())
        lines += [
            f"- Base: commit {plain(made.base_commit or 'unknown: a local folder')}",
            f"- Code {plain(made.code)}; Python {plain(made.python)}; {plain(packages)}",
            f"- {plain(made.hardware)}",
        ]
    lines += [f"- {plain(choice)}" for choice in prepared.choices] if prepared else []
    if (run.adapter / receipt.FILE).is_file() and adapter == "final":
        command = f"python -m core verify {run.id}"
        lines.append(
            f"- `{receipt.FILE}` has the hashes of base, rows, settings, code and losses; `{command}` checks them and "
            "repeats steps"
        )
    return ["## Made with", "", *lines] if lines else []


def _settings(run: Run) -> list[str]:
    settings = yaml_io.to_yaml(run.config()).removesuffix("\n")
    return [
        "## All settings",
        "",
        "<details><summary>As YAML</summary>",
        "",
        fenced(settings, "yaml"),
        "",
        "</details>",
    ]
