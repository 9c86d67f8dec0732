"""Operating-system services: atomic files, background jobs, process limits, memory, imports, secret masking."""
