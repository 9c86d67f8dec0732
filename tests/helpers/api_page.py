"""`python -m tests.helpers.api_page`: print docs/api.md as it should be, for `tests.helpers.fork_server`."""

import sys

from tests.helpers.fork_server import PROJECT

if __name__ == "__main__":
    sys.path.insert(0, str(PROJECT / "docs"))
    from make_api import page

    sys.stdout.write(page())
