"""Tasks of lm-evaluation-harness: local benchmarks that the models of an evaluation, or a run and its base, answer.

`task_files` checks a folder of tasks, and refuses those that would execute code; `measure` lets the harness measure the
loaded models; `results` keeps what it found. The package lm-eval is optional (requirements-lm-eval.txt).
"""
