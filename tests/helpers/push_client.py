"""`python -m tests.helpers.push_client ARGUMENTS`: push a folder to the Hub and print the outcome as JSON.

The arguments are one JSON list: folder, kind, and the fields of the target. The outcome is the address with the
reported progress, or the message of the error. Pauses between the attempts of the client are left out.
"""

import json
import sys
from pathlib import Path

from huggingface_hub.utils import _http
from pydantic import ValidationError

from core.errors import StudioError, sentences
from core.hub import push
from core.hub.target import PushTarget


class _NoPauses:
    """The module `time` for huggingface_hub's attempts, which would wait 23 seconds in all."""

    @staticmethod
    def sleep(seconds: float) -> None: ...


def main() -> None:
    """Push and print."""
    folder, kind, target = json.loads(sys.argv[1])
    _http.time = _NoPauses
    reported = []
    try:
        done = push.push_folder(
            Path(folder), kind, PushTarget(**target), "A test", lambda share, text: reported.append([share, text])
        )
        print(
            json.dumps({"url": done.url, "description": done.describe(), "account": done.account, "reported": reported})
        )
    except ValidationError as error:
        print(json.dumps({"error": sentences(error)}))
    except StudioError as error:
        print(json.dumps({"error": str(error)}))


if __name__ == "__main__":
    main()
