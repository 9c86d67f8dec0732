import sys

from core.evaluate.worker import main

sys.exit(main(sys.argv[1:]))
