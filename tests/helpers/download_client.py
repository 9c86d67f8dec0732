"""`python -m tests.helpers.download_client REPO STOP_AT CACHE`: download a model, and print each report as a line.

The download is cancelled at the first report that begins with STOP_AT, if that is not empty. The last line is "done",
"cancelled", or the message of the error.
"""

import os
import sys

from huggingface_hub import constants

from core.errors import StudioError
from core.hub import download as hub_download
from core.models.catalogue import Model
from core.models.download import fetch


def main() -> None:
    """Download and print."""
    repo, stop_at, cache = sys.argv[1:]
    # A fork was given its environment after huggingface_hub had read it.
    constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE = cache, bool(os.environ.get("HF_HUB_OFFLINE"))
    # Small blocks and short intervals, so that small files have a progress.
    constants.DOWNLOAD_CHUNK_SIZE, hub_download._REPORT_SECONDS = 2**16, 0.02
    reports = [""]

    def report(text: str) -> None:
        if text != reports[-1]:
            reports.append(text)
            print(text, flush=True)

    def is_cancelled() -> bool:
        return bool(stop_at) and reports[-1].startswith(stop_at)

    try:
        fetch(Model(repo, repo, repo, local=False), report, is_cancelled)
        print("done", flush=True)
    except hub_download.DownloadCancelled:
        print("cancelled", flush=True)
    except StudioError as error:
        print(error, flush=True)


if __name__ == "__main__":
    main()
