"""Download of a Hub model before it is loaded, so that its progress is shown and it can be cancelled.

transformers would download the same files into the same cache, without a sign of progress. It still downloads the
other files that it needs, such as generation_config.json: they are small. The README and the files with the license
come along, because models made from this one are exported with them.
"""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from core.hub import client
from core.hub.download import download, silent_bars
from core.models.catalogue import Model
from core.models.license import README, TERMS_FILES
from core.models.loading import readable
from core.system.files import read_json
from core.system.jobs import ignore_stage

if TYPE_CHECKING:
    from huggingface_hub import DryRunFileInfo

_WHOLE, _INDEX, _TOKENIZER = "model.safetensors", "model.safetensors.index.json", "tokenizer.json"
_DOCUMENTS = (README, *TERMS_FILES)
_PATTERNS = (_WHOLE, _INDEX, "*.safetensors", _TOKENIZER, *_DOCUMENTS)


def fetch(
    model: Model, report: Callable[[str], None] = ignore_stage, is_cancelled: Callable[[], bool] = lambda: False
) -> None:
    """Download a Hub model's weights and tokenizer, unless they are in the cache; a local model is there already.

    Args:
        model: The model.
        report: Called with the stage, and about once per second with the progress.
        is_cancelled: Whether to stop the download.

    Raises:
        core.hub.download.DownloadCancelled: `is_cancelled` returned true.
        StudioError: There is no such model, no access to it, no network, or too small a disk.
    """
    if model.local:
        return
    report(f"Asking the Hub for the files of {model.name}")
    with client.explained("model", model.name), readable(model):
        try:
            files = _list_files(model)
        except Exception as error:
            # Without a network or access, transformers reads the copy; if that is incomplete, it reports so itself.
            if client.explanation(error, "model", model.name) is None or not _has_copy(model):
                raise
            return
    download("model", model.name, files, model.revision, report, is_cancelled)


def _list_files(model: Model) -> "list[DryRunFileInfo]":
    """Return the files of a model to download: one file of weights, or those that the index names, and documents."""
    from huggingface_hub import hf_hub_download, snapshot_download

    quiet = silent_bars(model.name)
    listed = snapshot_download(
        model.path, revision=model.revision, allow_patterns=[*_PATTERNS], dry_run=True, tqdm_class=quiet
    )
    # Patterns match in folders, too.
    files = {one.filename: one for one in listed if len(PurePosixPath(one.filename).parts) == 1}
    names = {_WHOLE}
    if _WHOLE not in files and _INDEX in files:
        index = hf_hub_download(model.path, _INDEX, revision=model.revision, tqdm_class=quiet)
        names = {_INDEX, *read_json(Path(index))["weight_map"].values()}
    return [one for name, one in files.items() if name in {*names, _TOKENIZER, *_DOCUMENTS}]


def _has_copy(model: Model) -> bool:
    from huggingface_hub import try_to_load_from_cache

    cached = (try_to_load_from_cache(model.path, name, revision=model.revision) for name in (_WHOLE, _INDEX))
    return any(isinstance(path, str) for path in cached)
