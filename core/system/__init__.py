"""Services of the system: atomic files, worker processes, background jobs, process limits, memory, imports, secrets."""
