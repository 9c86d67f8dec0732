"""Entry point of `python -m core.train RUN_DIR`."""

import sys

from core.train.worker import main

sys.exit(main(sys.argv[1:]))
