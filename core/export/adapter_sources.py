"""Files of an adapter that is imported: from the Hub, or from a ZIP."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from core.access.free_disk import check_free_disk, writable_bytes
from core.access.quotas import Quotas
from core.chat.peft_model import CONFIG, WEIGHTS
from core.errors import StudioError
from core.hub import client
from core.hub.download import silent_bars
from core.system import secret_masking
from core.system.jobs import Progress
from core.system.sizes import format_size
from core.system.unpack import unpack

# An adapter of rank 256 for all linear layers of a 70B model has half of that.
MAX_BYTES = 2**34
# Suffixes of weights that PEFT and others save as pickles.
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")


@dataclass(frozen=True)
class Fetched:
    """Source of an adapter whose files have been fetched.

    Attributes:
        name: Name that the adapter's id is made from.
        source: Hub id, or name of the ZIP.
        revision: Commit; empty for a ZIP.
        notes: What was left out, with the reason.
    """

    name: str
    source: str
    revision: str = ""
    notes: list[str] = field(default_factory=list)


def from_zip(archive: Path, scratch: Path, folder: Path) -> Fetched:
    """Take an adapter's files out of a ZIP.

    Args:
        archive: The ZIP.
        scratch: An existing folder for its content.
        folder: Where the files are put.

    Raises:
        StudioError: It is no ZIP, is too large, or has no adapter that can be read.
    """
    if not archive.is_file():
        raise StudioError(f"There is no file {str(archive)!r}. Name a ZIP of an adapter's folder, or a Hub id.")
    content = scratch / "content"
    content.mkdir()
    paths = unpack(archive, content, min(MAX_BYTES, writable_bytes(scratch, Quotas().free_gib)))
    found = sorted((path for path in paths if path.name == CONFIG), key=lambda path: len(path.parts))
    root = found[0].parent if found else content
    names = {path.relative_to(root).as_posix(): path.stat().st_size for path in paths if path.is_relative_to(root)}
    notes = _check_names(archive.name, names)
    for name in (CONFIG, WEIGHTS):
        (root / name).rename(folder / name)
    return Fetched(archive.stem, archive.name, "", notes)


def from_hub(repo: str, revision: str, token: str | None, folder: Path, progress: Progress) -> Fetched:
    """Download an adapter's files.

    Args:
        repo: Hub id.
        revision: Branch, tag or commit; empty for main.
        token: Token; None for that of the machine.
        folder: Where the files are put.
        progress: Called with the share that is done, 0 to 1, and the current step.

    Raises:
        StudioError: There is no such repository, no access to it, or no adapter in it that can be read.
    """
    from huggingface_hub import HfApi

    repo = repo.strip()
    if not client.is_hub_id(repo):
        raise StudioError(f"{repo[:80]!r} is not a Hub id. Expected owner/name, or choose a ZIP.")
    if token:
        secret_masking.mask_value(token)
    api = HfApi(token=token)
    with client.explained("adapter", repo, has_token=bool(token) or None):
        progress(0.05, f"Looking for {repo}")
        commit = str(api.repo_info(repo, revision=revision or None).sha)
        names = {each.path: each.size for each in api.list_repo_tree(repo, revision=commit) if hasattr(each, "size")}
        notes = _check_names(repo, names)
        check_free_disk(folder, Quotas().free_gib, names[CONFIG] + names[WEIGHTS], repo)
        for share, name in ((0.1, CONFIG), (0.15, WEIGHTS)):
            progress(share, f"Downloading {name}, {format_size(names[name])}")
            api.hf_hub_download(repo, name, revision=commit, local_dir=folder, tqdm_class=silent_bars(repo))
    # huggingface_hub leaves the metadata of the download here.
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    return Fetched(repo.partition("/")[2], repo, commit, notes)


def _check_names(source: str, sizes: dict[str, int]) -> list[str]:
    """Check that the files of an adapter are there and not too large; return what is left out, with the reason.

    Args:
        source: Name of the repository or ZIP, for messages.
        sizes: Bytes by file name.

    Raises:
        StudioError: There is no adapter, its weights are a pickle, or it is too large.
    """
    pickles = [name for name in sizes if name.endswith(_PICKLES)]
    if CONFIG not in sizes:
        if "config.json" in sizes:
            raise StudioError(f"{source} has no {CONFIG}: it is a whole model. Put its folder into STUDIO_HOME/models.")
        raise StudioError(f"{source} has no {CONFIG}: it is no adapter. Choose the folder that PEFT has saved.")
    if WEIGHTS not in sizes:
        if pickles:
            raise StudioError(
                f"{source} has its weights as a pickle ({pickles[0]}), which can run code when it is read, and is "
                f"refused. Ask its author for {WEIGHTS}, or save it again with PEFT."
            )
        raise StudioError(f"{source} has no {WEIGHTS}. Save the adapter with PEFT, which writes it.")
    if (size := sizes[CONFIG] + sizes[WEIGHTS]) > MAX_BYTES:
        raise StudioError(
            f"The adapter in {source} has {format_size(size)}. Expected at most {format_size(MAX_BYTES)}; choose a "
            "smaller one."
        )
    return [f"{name} is a pickle and was not read." for name in pickles]
