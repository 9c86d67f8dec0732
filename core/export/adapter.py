"""Write an adapter as a zip that PEFT loads as it is: its weights, its settings, the run's settings and a README.

The zip names the base model by its id on the Hub, or by its name if it is a local folder, because a path of this
machine would mean nothing on another one.
"""

import json
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from core.data.listing import list_some
from core.models import embedded
from core.runs import classifier, yaml_io
from core.runs.adapters import adapter_folder
from core.runs.names import file_stem
from core.runs.progress import progress
from core.runs.store import Run
from core.settings import Settings, slug
from core.system.counting import counted
from core.system.files import replacing
from core.system.markdown import plain

# Files of PEFT, and the template that the rows were rendered with. The tokenizer is the base model's own.
_FILES = ("adapter_model.safetensors", "chat_template.jinja")
_SHOWN_LABELS = 20
INSTALL = "pip install torch transformers peft accelerate"


@dataclass(frozen=True)
class AdapterZip:
    """A zip that was written.

    Attributes:
        path: The file.
        size: Its bytes.
        base: The base model that it needs, as PEFT is to find it.
    """

    path: Path
    size: int
    base: str


def base_name(run: Run) -> str:
    """Return the name under which another machine finds a run's base model."""
    model = run.config().model
    return embedded.HUB_ID if model == embedded.NAME else model


def base_note(run: Run) -> str:
    """Return why the base model answers differently elsewhere than it does here, as a sentence."""
    config = run.config()
    precision = "unquantized" if config.quantization == "none" else f"in {config.quantization}"
    note = f"During the training, the base model was loaded {precision}."
    if config.model == embedded.NAME:
        note += (
            " Its weights here are 16-bit safetensors that were dequantized from a 4-bit GGUF file (Q4_1), so they "
            "differ from those of the Hub."
        )
    return f"{note} With other weights or another precision the answers may differ; that is not measured."


def list_files(run: Run, adapter: str) -> list[tuple[str, int]]:
    """Return the names of the files that an adapter's zip holds, each with its bytes before compression."""
    files = _contents(run, adapter).items()
    return [(name, len(held) if isinstance(held, bytes) else held.stat().st_size) for name, held in files]


def write_adapter(settings: Settings, run: Run, adapter: str = "final") -> AdapterZip:
    """Write one of a run's adapters as a zip into the exports folder.

    Args:
        settings: The studio's settings.
        run: The run.
        adapter: "final", or "step N" for a checkpoint, as `Run.adapters` names them.

    Raises:
        StudioError: The run has no such adapter.
    """
    name = _zip_folder(run, adapter)
    target = settings.exports_dir / f"{name}.zip"
    files = _contents(run, adapter)
    with replacing(target) as scratch, zipfile.ZipFile(scratch, "w", zipfile.ZIP_DEFLATED) as archive:
        for file, held in files.items():
            if isinstance(held, bytes):
                archive.writestr(f"{name}/{file}", held)
            else:
                archive.write(held, f"{name}/{file}")
    return AdapterZip(target, target.stat().st_size, base_name(run))


def example_code(run: Run, adapter: str) -> str:
    """Return a program that asks an adapter one question, to be run beside the folder of its zip."""
    if run.config().classifies:
        return _classifying_code(run, adapter)
    template = ""
    if (run.adapters()[adapter] / "chat_template.jinja").is_file():
        # The base model may have another template, or none.
        template = """template = open(f"{folder}/chat_template.jinja", encoding="utf-8")
tokenizer.chat_template = template.read()
"""
    return f"""from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = {json.dumps(base_name(run))}
folder = {json.dumps(_zip_folder(run, adapter))}
tokenizer = AutoTokenizer.from_pretrained(base)
{template}model = AutoModelForCausalLM.from_pretrained(base)
model = PeftModel.from_pretrained(model, folder)

question = [{{"role": "user", "content": "What should I cook with eggs and rice?"}}]
prompt = tokenizer.apply_chat_template(
    question, add_generation_prompt=True, return_dict=True, return_tensors="pt"
)
answer = model.generate(**prompt, max_new_tokens=200)[0]
length = prompt["input_ids"].shape[1]
print(tokenizer.decode(answer[length:], skip_special_tokens=True))"""


def _classifying_code(run: Run, adapter: str) -> str:
    return f"""import json

from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

base = {json.dumps(base_name(run))}
folder = {json.dumps(_zip_folder(run, adapter))}
about = json.load(open(f"{{folder}}/{classifier.FILE}", encoding="utf-8"))
labels = {{int(number): label for number, label in about["id2label"].items()}}
model = AutoModelForSequenceClassification.from_pretrained(
    base, id2label=labels, label2id=about["label2id"]
)
model.config.pad_token_id = about["pad_token_id"]
model = PeftModel.from_pretrained(model, folder).eval()

tokenizer = AutoTokenizer.from_pretrained(base)
text = tokenizer(
    "A text to classify", truncation=True, max_length=about["max_length"], return_tensors="pt"
)
print(labels[model(**text).logits.argmax().item()])"""


def describe_result(run: Run, adapter: str) -> str:
    """Return the held-out loss before and after the training, as an item of a list."""
    events = run.events()
    if adapter != "final":
        # Of a checkpoint, what was known at its step.
        last = int(adapter.removeprefix("step "))
        events = [event for event in events if getattr(event, "step", 0) <= last]
    reached = progress(events)
    base, tuned = reached.base_loss, reached.held_out_loss
    if not isinstance(base, float) or not isinstance(tuned, float):
        return "Result: no held-out loss was computed"
    share = f"; held-out accuracy {reached.accuracy:.1%}" if isinstance(reached.accuracy, float) else ""
    return f"Result: held-out loss {tuned:.3f}, {base:.3f} before the training (step {reached.step:,}){share}"


def describe_rows(run: Run) -> str:
    """Return which rows a run was trained on, as a part of a list."""
    subset = run.subset()
    if subset is None:
        return "unknown"
    return f"{counted(subset.rows, 'row')} of the subset {subset.name} ({subset.source.describe()})"


def folder_name(run: Run, adapter: str) -> str:
    """Return the name of an adapter's exported files, without their suffix."""
    return f"{file_stem(run.title, run.id)}-{slug(adapter)}"


def _zip_folder(run: Run, adapter: str) -> str:
    """Return the name of the folder in an adapter's zip."""
    return f"{folder_name(run, adapter)}-adapter"


def _contents(run: Run, adapter: str) -> dict[str, bytes | Path]:
    """Return what each file of the zip holds: its bytes, or the file that is copied."""
    folder, base = adapter_folder(run, adapter), base_name(run)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base
    found: dict[str, bytes | Path] = {"adapter_config.json": json.dumps(config, indent=2).encode()}
    # A classifier reads texts without the template, and needs its labels.
    files = (_FILES[0], classifier.FILE) if run.config().classifies else _FILES
    found |= {file: folder / file for file in files if (folder / file).is_file()}
    found["settings.yaml"] = yaml_io.to_yaml(run.config()).encode()
    found["README.md"] = _readme(run, adapter, folder).encode()
    return found


def _readme(run: Run, adapter: str, folder: Path) -> str:
    kind, labels, use = "A LoRA adapter", "", "To ask it a question"
    if run.config().classifies:
        kind, names = "A classifier: a LoRA adapter with a classification head", classifier.read(folder).labels
        use = "To classify a text"
        labels = f"- {len(names):,} labels, in `{classifier.FILE}`: {plain(list_some(names, _SHOWN_LABELS))}\n"
    created = time.strftime("%Y-%m-%d", time.gmtime(run.state().created))
    # A name may come from a stranger's data, and viewers render this file.
    return f"""# {plain(run.title)}, {adapter}

{kind} for `{base_name(run)}`, trained with QLoRA Studio on {created}.

- Training data: {plain(describe_rows(run))}
- {describe_result(run, adapter)}
- {base_note(run)}
- All settings: `settings.yaml`
{labels}
{use}, unpack this folder, and run in the folder above it:

```bash
{INSTALL}
```

```python
{example_code(run, adapter)}
```
"""
