"""Verdicts of runs whose outcome is known beforehand: one that helps, harms, does nothing, and forgets.

    python bench/planted.py LABELED.tsv [--seeds 0 1 2 3 4] [--at-once 1]
                            [--cases helps harms nothing forgets] [--rows 200]

The file has a text and a label, 0 or 1, in its first two columns. Of each seed, four runs of the embedded model are
trained by `python -m core` as a user would: on the labels (helps), on the labels exchanged (harms), with a learning
rate near 0 (nothing), and on the labels with a high learning rate and no validation (forgets). Base and tuned answer
the same held-out rows and the 320 probes of general ability. A line per run says what the verdict and the probes say,
and whether that is what was planted. An NVIDIA GPU is needed for a reasonable time.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
NAMES = ("negative", "positive")
PROMPT = "{text}\n\nIs the sentiment of this sentence positive or negative?"
# Settings of the run, whether its labels are exchanged, the verdict, and whether general ability falls; None: either.
CASES: dict[str, tuple[list[str], bool, str, bool | None]] = {
    "helps": ([], False, "better", None),
    "harms": ([], True, "worse", None),
    "nothing": (["--learning-rate", "1e-9", "--max-steps", "2"], False, "unclear", False),
    "forgets": (
        ["--learning-rate", "2e-3", "--epochs", "8", "--eval-steps", "0", "--no-keep-best", "--early-stopping", "0"],
        False, "better", True,
    ),
}  # fmt: skip


def core(home: Path, *words: str) -> str:
    """Return the output of `python -m core` with a STUDIO_HOME of its own.

    Raises:
        RuntimeError: The command failed.
    """
    command = [sys.executable, "-m", "core", *words]
    environment = os.environ | {"STUDIO_HOME": str(home)}
    result = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {(result.stderr or result.stdout)[-600:]}")
    return result.stdout


def prepare(home: Path, file: Path, models: Path, seed: int, rows: int) -> None:
    """Open the file and create the subsets of a seed: with the labels, and with the labels exchanged."""
    home.mkdir(parents=True)
    (home / "models").symlink_to(models)
    dataset = core(home, "data", "open", str(file)).partition(":")[0]
    for name, order in (("right", NAMES), ("exchanged", NAMES[::-1])):
        reading = {"format": "label", "prompt": PROMPT, "labels": dict(zip("01", order, strict=True))}
        share = ["--held-out-share", "0.25", "--seed", str(seed), "--duplicates", "exact", "--rows", str(4 * rows)]
        core(home, "data", "subset", dataset, name, "--reading", json.dumps(reading), *share)


def describe_interval(found: dict) -> str:
    """Return the interval of a difference; one that is the same in every row has none."""
    if found["low"] is None or found["high"] is None:
        return f"{found['difference']:+.3f} in every row"
    return f"{found['low']:+.3f} to {found['high']:+.3f}"


def run_case(home: Path, case: str, seed: int) -> str:
    """Train and evaluate one run, and return its line of the table."""
    settings, is_exchanged, outcome, is_forgetting = CASES[case]
    began = time.monotonic()
    subset = "exchanged" if is_exchanged else "right"
    out = core(home, "train", "--preset", "Label task", "--subset", subset, "--seed", str(seed), *settings)
    run = out.split()[0]
    prompts = ["--prompts", "subset", "--subset", "right", "--split", "held-out", "--max-new-tokens", "60"]
    out = core(home, "evaluate", "start", "--lanes", "base", "--lanes", run, "--guard", *prompts)
    evaluation = out.split()[0]
    found = json.loads(core(home, "evaluate", "verdict", evaluation, "--json"))
    primary = next(each for each in found["overall"] if each["metric"] == found["primary"])
    before, after = (lane["all"] for lane in found["ability"])
    text = core(home, "evaluate", "verdict", evaluation)
    has_fallen = "costs general ability" in text or "General ability fell" in text
    is_right = found["outcome"] == outcome and is_forgetting in (None, has_fallen)
    first, second = (lane["answered"]["accuracy"] for lane in found["labels"])
    return (f"| {case} | {seed} | {first:.1%} | {second:.1%} | {found['outcome']} by {found['primary']} "
            f"({describe_interval(primary)}) | {before:.1%} | {after:.1%} | "
            f"{'fell' if has_fallen else 'no clear loss'} | {'yes' if is_right else 'NO'} | "
            f"{time.monotonic() - began:.0f} s |")  # fmt: skip


def run_seed(scratch: Path, seed: int, options: argparse.Namespace, models: Path) -> list[str]:
    """Return the lines of all cases of a seed; one that failed says why."""
    home, lines = scratch / str(seed), []
    prepare(home, options.file, models, seed, options.rows)
    for case in options.cases:
        try:
            lines.append(run_case(home, case, seed))
        except (RuntimeError, KeyError, TypeError, IndexError, StopIteration) as error:
            lines.append(f"| {case} | {seed} | failed: {error!r} |")
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    """Run all cases of all seeds, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a TSV or CSV file with a text and a label, 0 or 1")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="seeds (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=1, help="seeds that run at the same time")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES), help="cases (default: all)")
    parser.add_argument("--rows", type=int, default=200, help="held-out rows; four times as many are trained on")
    options = parser.parse_args()
    options.file = options.file.resolve()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        core(scratch / "models-home", "models", "prepare")
        print("| case | seed | accuracy of base | tuned | verdict | probes of base | tuned | general ability | "
              "as planted | time |\n|---|---|---|---|---|---|---|---|---|---|", flush=True)  # fmt: skip
        with ThreadPoolExecutor(options.at_once) as pool:
            models = scratch / "models-home" / "models"
            list(pool.map(lambda seed: run_seed(scratch, seed, options, models), options.seeds))


if __name__ == "__main__":
    main()
