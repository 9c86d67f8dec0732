"""Parts of the Train tab: form, preflight checks, controls, view of a run, comparison of runs."""
