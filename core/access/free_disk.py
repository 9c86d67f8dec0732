"""The one check of the disk before bytes that come from outside are written: a reserve always stays free.

Uploads, unpacked files, downloads and opened datasets pass here; `STUDIO_QUOTA_FREE_GIB` is the reserve.
"""

import shutil
from pathlib import Path

from core.errors import StudioError
from core.system.sizes import format_size

GIB = 2**30
_HOME_ADVICE = "Remove old runs, checkpoints or uploads first (under Free disk space in the Owner tab)."


def writable_bytes(folder: Path, reserve_gib: float) -> int:
    """Return how many bytes may be written to the disk of a folder, so that the reserve stays free; at least 0.

    Args:
        folder: The folder; of one that does not exist yet, the nearest parent is asked.
        reserve_gib: GiB that must stay free, `Quotas.free_gib`.
    """
    return max(0, _free_bytes(folder) - int(reserve_gib * GIB))


def check_free_disk(
    folder: Path, reserve_gib: float, needed: int = 0, name: str = "This", advice: str = _HOME_ADVICE
) -> None:
    """Check that bytes fit on the disk of a folder beside the reserve.

    Args:
        folder: As for `writable_bytes`.
        reserve_gib: GiB that must stay free, `Quotas.free_gib`.
        needed: Bytes that are about to be written, as far as they are known.
        name: Name of what needs them, for the message.
        advice: The next step, as a sentence.

    Raises:
        StudioError: They do not fit.
    """
    free = _free_bytes(folder)
    if free - needed >= reserve_gib * GIB:
        return
    wants = f"{name} needs {format_size(needed)} more, and the disk" if needed else "The disk"
    raise StudioError(
        f"{wants} of {folder} has {format_size(free)} free, of which {reserve_gib:g} GiB must stay free "
        f"(STUDIO_QUOTA_FREE_GIB). {advice}"
    )


def _free_bytes(folder: Path) -> int:
    whole = folder.absolute()
    return shutil.disk_usage(next(parent for parent in (whole, *whole.parents) if parent.is_dir())).free
