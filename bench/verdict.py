"""Coverage of the intervals, uniformity of the p-values and power of a verdict, in simulated datasets.

    python bench/verdict.py [--sets 2000] [--clusters 20 60 300] [--part coverage uniform power]

Each dataset has two lanes with a known true difference, in conversations of one or more rows. Coverage is the share of
95 % intervals that contain the true difference; datasets that are too uneven for an interval are counted separately.
The p-values are those of data without a difference: a test is right if p ≤ 5 % in 5 % of them. Power is compared with
the formula that proposes the number of rows. The standard error of a share of 95 % in 2,000 datasets is 0.5 points.
"""

import argparse
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

import numpy as np  # noqa: E402

from core.evaluate.statistics.paired import PairedScores, compare  # noqa: E402
from core.evaluate.statistics.power import PairedSpread, detectable_difference, power  # noqa: E402
from tests.helpers.paired_data import KINDS, SIZES, simulate  # noqa: E402

LEVELS = (0.01, 0.05, 0.1, 0.5)
# Rows and standard deviation or share of differing rows of the power simulation.
POWER_ROWS = (20, 30, 80, 300)
DISCORDANCE = (None, 0.1, 0.3)


def cover(case: tuple[str, str, int, int]) -> str:
    """Return the table row of one kind of data: coverage, misses on each side, mean width."""
    kind, sizes, clusters, sets = case
    random, counts, widths = np.random.default_rng(1), Counter(), []
    for seed in range(sets):
        made = simulate(kind, sizes, clusters, random)
        found = compare(made.scores, seed=seed)
        if np.isnan(found.low):
            counts["none"] += 1
            continue
        counts["below"] += made.truth > found.high
        counts["above"] += made.truth < found.low
        widths.append(found.high - found.low)
    intervals = len(widths)
    if not intervals:
        return f"| {kind} | {sizes} | {clusters} | | | | | {counts['none']:,} |"
    below, above = counts["below"] / intervals, counts["above"] / intervals
    return (f"| {kind} | {sizes} | {clusters} | {1 - below - above:.1%} | {below:.1%} | {above:.1%} | "
            f"{np.mean(widths):.3f} | {counts['none']:,} |")  # fmt: skip


def spread_p_values(case: tuple[str, str, int, int]) -> str:
    """Return the table row of one kind of data without a difference: shares of small p-values, and verdicts."""
    kind, sizes, clusters, sets = case
    random, found = np.random.default_rng(2), []
    for seed in range(sets):
        found.append(compare(simulate(kind, sizes, clusters, random, effect=False).scores, seed=seed))
    p_values = np.array([one.p_value for one in found if not np.isnan(one.p_value)])
    shares = " | ".join(f"{np.mean(p_values <= level):.1%}" for level in LEVELS)
    wrong = np.mean([one.direction != 0 for one in found])
    return f"| {kind} | {sizes} | {clusters} | {shares} | {wrong:.1%} |"


def detect(case: tuple[int, float | None, int]) -> str:
    """Return the table row of the power at the difference that should be detected in 80 % of datasets."""
    rows, discordance, sets = case
    spread = PairedSpread(1.0, discordance)
    difference = detectable_difference(rows, spread)
    kind = "normal" if discordance is None else f"right/wrong, {discordance:.0%} differ"
    if difference is None:
        return f"| {kind} | {rows} | none | | |"
    random, detected, numbers = np.random.default_rng(3), 0, np.arange(rows)
    for seed in range(sets):
        if discordance is None:
            scores = PairedScores(np.zeros(rows), random.standard_normal(rows) + difference, numbers)
        else:
            chances = [(discordance + difference) / 2, (discordance - difference) / 2, 1 - discordance]
            moved = random.choice([1.0, -1.0, 0.0], rows, p=chances)
            scores = PairedScores((moved < 0) * 1.0, (moved < 0) + moved, numbers)
        detected += compare(scores, seed=seed).direction != 0
    return f"| {kind} | {rows} | {difference:.3f} | {power(difference, rows, spread):.1%} | {detected / sets:.1%} |"


def main() -> None:
    """Simulate in two processes, and print each table row when it is computed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=2000, help="datasets per case (default: %(default)s)")
    parser.add_argument("--clusters", type=int, nargs="+", default=[20, 60, 300], help="numbers of conversations")
    parts = ["coverage", "uniform", "power"]
    parser.add_argument("--part", nargs="+", choices=parts, default=parts, help="what to simulate (default: all)")
    options = parser.parse_args()
    cases = [(kind, sizes, number, options.sets) for number in options.clusters for kind in KINDS for sizes in SIZES]
    # The other kinds without a difference are the same distributions around 0.
    null = [case for case in cases if case[0] in ("skewed", "loss", "binary")]
    levels = " | ".join(f"p ≤ {level:.0%}" for level in LEVELS)
    tables = {
        "coverage": (cover, cases, "| scores | rows per conversation | conversations | covered | interval below | "
                     "interval above | mean width | no interval |"),
        "uniform": (spread_p_values, null, f"| scores | rows per conversation | conversations | {levels} | verdicts |"),
        "power": (detect, [(rows, share, options.sets) for share in DISCORDANCE for rows in POWER_ROWS],
                  "| scores | rows | difference | power by formula | detected |"),
    }  # fmt: skip
    with ProcessPoolExecutor(2) as pool:
        for part in options.part:
            simulate_case, work, heading = tables[part]
            print(f"\n{heading}\n{'|---' * (heading.count('|') - 1)}|", flush=True)
            for line in pool.map(simulate_case, work):
                print(line, flush=True)


if __name__ == "__main__":
    main()
