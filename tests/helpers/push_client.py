"""`python -m tests.helpers.push_client ARGUMENTS`: push a folder to the Hub and print the outcome as JSON.

The arguments are one JSON list: folder, repository, kind, private, token. The outcome is the URL and the reported
progress, or the message of the error.
"""

import json
import sys
from pathlib import Path

from core.errors import StudioError
from core.hub import push


def main() -> None:
    """Push and print."""
    folder, repo, kind, private, token = json.loads(sys.argv[1])
    reported = []
    try:
        url = push.push_folder(
            Path(folder), repo, kind, "A test", private, token, lambda share, text: reported.append([share, text])
        )
        print(json.dumps({"url": url, "reported": reported}))
    except StudioError as error:
        print(json.dumps({"error": str(error)}))


if __name__ == "__main__":
    main()
