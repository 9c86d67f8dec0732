"""Entry point of an evaluation's worker process: `python -m core.evaluate FOLDER`."""

import sys

from core.evaluate.worker import main

sys.exit(main(sys.argv[1:]))
