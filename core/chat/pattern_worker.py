"""Process that matches the regular expressions of a foreign adapter within limits of time and memory.

It reads `{"expressions": [...], "modules": [...]}` as JSON from standard input, and writes a JSON line per expression:
the indices of the modules that it matches as a whole, or the reason why it is no expression. Where a limit ends the
process, the number of lines tells which expression it was.
"""

import json
import re
import sys

from core.system.process_limits import Limits

CPU_SECONDS = 2
# Exit code.
NO_MEMORY = 3
_MEMORY_BYTES, _WRITTEN_BYTES = 2**29, 0


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    Limits(_MEMORY_BYTES, CPU_SECONDS, _WRITTEN_BYTES).apply()
    for expression in request["expressions"]:
        try:
            match = re.compile(expression).fullmatch
            found = [index for index, module in enumerate(request["modules"]) if match(module)]
        except (re.error, RecursionError, OverflowError) as error:
            found = str(error) or type(error).__name__
        except MemoryError:
            sys.exit(NO_MEMORY)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
