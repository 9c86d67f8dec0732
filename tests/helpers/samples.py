"""Folders that earlier versions wrote, stored with the tests."""

from pathlib import Path

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
