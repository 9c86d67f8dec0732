"""Twenty people who chat at once: does each get the answer that is theirs, in their turn, and is the memory given back?

    python bench/users.py [--users 20] [--seconds 120]

Each user asks the embedded model to go on counting from a number of their own, greedily, in two lanes; what everybody
must be answered was computed for each question alone before. One user in five closes the page in mid-answer.
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

TOKENS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120)
    options = parser.parse_args()
    from core.chat.engine import Engine
    from core.chat.queue import QueueEntry
    from core.chat.requests import resolve_lanes
    from core.chat.sampling import Sampling
    from core.chat.types import BaseIdentity, LaneRequest
    from core.models import embedded
    from core.runs.store import RunStore
    from core.settings import Settings

    settings = Settings().prepare()
    store = RunStore(settings)
    base = BaseIdentity(embedded.NAME, quantization="none", compute_dtype="float32")
    sampling = Sampling(temperature=0, max_new_tokens=TOKENS)
    engine = Engine(settings)

    def asked(user: int):
        lanes = [[{"role": "user", "content": f"{word} from {1000 + user * 7}, as far as you like."}]
                 for word in ("Count up", "Count down")]  # fmt: skip
        return QueueEntry(resolve_lanes(store, [LaneRequest(lane, sampling) for lane in lanes], base))

    def answer(user: int) -> list[str]:
        *_, told = engine.ask(asked(user))
        return [found.text for found in told.generations]

    expected = {user: answer(user) for user in range(options.users)}
    engine.unload()
    gc.collect()
    process = psutil.Process()
    before, seen, waits = process.memory_info().rss, Counter(), []
    came, served, lock = [], [], threading.Lock()
    until = time.monotonic() + options.seconds

    def live(user: int) -> None:
        rng = random.Random(user)
        while time.monotonic() < until:
            made, began = asked(user), time.monotonic()
            leaves, first = rng.random() < 0.2, True
            stream = engine.ask(made)
            for told in stream:
                if first:
                    with lock:
                        came.append(made)
                    first = False
                if any(a.tokens for a in told.generations) and made not in served:
                    with lock:
                        served.append(made)
                    waits.append(time.monotonic() - began)
                if leaves and told.generations[0].tokens > 3:
                    stream.close()
                    seen["left in mid-answer"] += 1
                    break
            else:
                right = [a.text for a in made.generations] == expected[user]
                seen["right" if right else "wrong"] += 1

    threads = [threading.Thread(target=live, args=(user,)) for user in range(options.users)]
    for thread in threads:
        thread.start()
    peak = 0
    while any(thread.is_alive() for thread in threads):
        peak = max(peak, process.memory_info().rss)
        time.sleep(0.5)
    engine.unload()
    gc.collect()
    after = process.memory_info().rss
    places = {id(made): at for at, made in enumerate(came)}
    turns = [places[id(made)] for made in served]
    late = max((max(turns[:at], default=0) - place for at, place in enumerate(turns)), default=0)
    print(f"| users | asked | right | wrong | left in mid-answer | median wait | longest wait |\n|{'---|' * 7}")
    print(
        f"| {options.users} | {len(came)} | {seen['right']} | {seen['wrong']} | {seen['left in mid-answer']} "
        f"| {sorted(waits)[len(waits) // 2]:.1f} s | {max(waits):.1f} s |"
    )
    print(f"\nNobody was served more than {late} places after somebody who came later.")
    print(f"Memory: {before / 2**20:.0f} MiB before, {peak / 2**20:.0f} at most, {after / 2**20:.0f} after unloading.")


if __name__ == "__main__":
    main()
