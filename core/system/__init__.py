"""Operating-system services: atomic files, worker processes, background jobs, process limits, memory, imports, secrets."""
