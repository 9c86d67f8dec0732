"""Users who chat at once: correctness of their answers, order of service, waiting times, and memory.

    python bench/users.py [--users 20] [--seconds 120]

Each user asks the embedded model to count from a number of their own, greedily, in two lanes. The expected answer of
each question was generated alone before. One user in five closes the page while the answer is written.
"""

import argparse
import gc
import random
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from core.chat.engine import Engine  # noqa: E402
from core.chat.queue_entry import QueueEntry  # noqa: E402
from core.chat.requests import resolve_lanes  # noqa: E402
from core.chat.sampling import Sampling  # noqa: E402
from core.chat.types import BaseIdentity, LaneRequest  # noqa: E402
from core.models import embedded  # noqa: E402
from core.runs.store import RunStore  # noqa: E402
from core.settings import Settings  # noqa: E402

MAX_NEW_TOKENS = 12
LEAVING_SHARE = 0.2
_MEMORY_SECONDS = 0.5


class Crowd:
    """Users of one engine, and the counts of their answers.

    Attributes:
        outcomes: Number of answers by outcome: right, wrong, left in mid-answer.
        waits: Seconds from each question to its first token.
        arrived: Questions in the order in which the engine accepted them.
        served: Questions in the order of their first tokens.
    """

    def __init__(self, settings: Settings):
        self.engine, self.store = Engine(settings), RunStore(settings)
        self.outcomes: Counter[str] = Counter()
        self.waits: list[float] = []
        self.arrived: list[QueueEntry] = []
        self.served: list[QueueEntry] = []
        self._lock = threading.Lock()

    def question(self, user: int) -> QueueEntry:
        """Return a user's question in two lanes."""
        # In float32, an answer in a batch is the same as alone.
        base = BaseIdentity(embedded.NAME, quantization="none", compute_dtype="float32")
        sampling = Sampling(temperature=0, max_new_tokens=MAX_NEW_TOKENS)
        start = 1000 + user * 7
        texts = [f"{direction} from {start}, as far as you like." for direction in ("Count up", "Count down")]
        requests = [LaneRequest([{"role": "user", "content": text}], sampling) for text in texts]
        return QueueEntry(resolve_lanes(self.store, requests, base))

    def answer(self, user: int) -> list[str]:
        """Return the answers to a user's question."""
        *_, entry = self.engine.ask(self.question(user))
        return [generation.text for generation in entry.generations]

    def chat(self, user: int, expected: list[str], until: float) -> None:
        """Ask one question after the other until a time of the monotonic clock, and count the outcomes."""
        rng = random.Random(user)
        while time.monotonic() < until:
            entry, leaves = self.question(user), rng.random() < LEAVING_SHARE
            if self._read_answer(entry, leaves):
                is_right = [generation.text for generation in entry.generations] == expected
                self.outcomes["right" if is_right else "wrong"] += 1
            else:
                self.outcomes["left in mid-answer"] += 1

    def _read_answer(self, entry: QueueEntry, leaves: bool) -> bool:
        """Read the updates of an answer, and return whether it was read to its end."""
        began, stream = time.monotonic(), self.engine.ask(entry)
        for number, update in enumerate(stream):
            with self._lock:
                if number == 0:
                    self.arrived.append(entry)
                if any(generation.tokens for generation in update.generations) and entry not in self.served:
                    self.served.append(entry)
                    self.waits.append(time.monotonic() - began)
            if leaves and update.generations[0].tokens > 3:
                # A browser that leaves closes the generator in the same way.
                stream.close()
                return False
        return True

    def unload(self) -> int:
        """Unload the model, and return the memory of this process in bytes."""
        self.engine.unload()
        gc.collect()
        return psutil.Process().memory_info().rss

    def largest_overtaking(self) -> int:
        """Return the largest number of positions by which a later question overtook an earlier one."""
        positions = {id(entry): position for position, entry in enumerate(self.arrived)}
        order = [positions[id(entry)] for entry in self.served]
        return max((max(order[:at], default=0) - position for at, position in enumerate(order)), default=0)


def wait_and_measure(threads: list[threading.Thread]) -> int:
    """Wait for threads to end, and return the peak memory of this process in bytes meanwhile."""
    peak, process = 0, psutil.Process()
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, process.memory_info().rss)
        time.sleep(_MEMORY_SECONDS)
    return peak


def print_report(crowd: Crowd, users: int, memory: dict[str, int]) -> None:
    """Print the table, the order of service and the memory."""
    outcomes, waits = crowd.outcomes, sorted(crowd.waits)
    print(f"| users | asked | right | wrong | left in mid-answer | median wait | longest wait |\n|{'---|' * 7}")
    print(
        f"| {users} | {len(crowd.arrived)} | {outcomes['right']} | {outcomes['wrong']} "
        f"| {outcomes['left in mid-answer']} | {waits[len(waits) // 2]:.1f} s | {waits[-1]:.1f} s |"
    )
    print(f"\nA later question overtook an earlier one by at most {crowd.largest_overtaking()} positions.")
    print("Memory: " + ", ".join(f"{size / 2**20:.0f} MiB {when}" for when, size in memory.items()) + ".")


def main() -> None:
    """Let the users chat, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20, help="number of users (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=120, help="duration in seconds (default: %(default)s)")
    options = parser.parse_args()
    crowd = Crowd(Settings().prepare())
    expected = [crowd.answer(user) for user in range(options.users)]
    memory = {"before": crowd.unload()}
    until = time.monotonic() + options.seconds
    threads = [threading.Thread(target=crowd.chat, args=(user, expected[user], until)) for user in range(options.users)]
    for thread in threads:
        thread.start()
    memory["at most"] = wait_and_measure(threads)
    memory["after unloading"] = crowd.unload()
    print_report(crowd, options.users, memory)


if __name__ == "__main__":
    main()
