"""The worker: `python -m core.train RUN_DIR` trains one run and reports into its directory."""
