"""Worker on a machine that pretends to have two GPUs; its ranks train on the CPU."""

import sys

from core.runs import checks
from core.train.worker import main

checks.gpus_problem = lambda config: None
sys.exit(main(sys.argv[1:]))
