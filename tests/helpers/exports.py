"""A run of a tiny model with a random adapter, to be exported."""

import copy

from core.runs.config import QLoRAConfig
from core.runs.store import RunStore
from tests.helpers.datasets import copy_bundled
from tests.helpers.tiny_model import make_adapter, tiny_llama

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
    "'\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def write_tiny_run(settings, tokenizer, model=None, targets="all-linear", **config):
    """Write a model with a tokenizer and a finished run with an adapter; return the run."""
    copy_bundled(settings)
    folder = settings.models_dir / "tiny"
    if not folder.exists():
        model = model or tiny_llama(vocab_size=len(tokenizer), intermediate_size=96)
        model.save_pretrained(folder)
        # A copy, because tests share the tokenizer.
        own = copy.deepcopy(tokenizer)
        own.chat_template = CHATML
        own.save_pretrained(folder)
        make_adapter(model, settings.home / "adapter", 4, 1, targets)
    options = {"model": "tiny", "quantization": "nf4", "compute_dtype": "float32", "max_length": 128} | config
    run = RunStore(settings).create(QLoRAConfig(**options))
    run.save_state(run.saved_state().model_copy(update={"status": "finished", "ended": 1200.0}))
    run.adapter.mkdir(parents=True, exist_ok=True)
    for file in (settings.home / "adapter").iterdir():
        (run.adapter / file.name).write_bytes(file.read_bytes())
    (run.adapter / "chat_template.jinja").write_text(CHATML)
    return run
