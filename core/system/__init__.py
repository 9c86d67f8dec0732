"""Files, background jobs, process limits, memory and imports: what any program needs from its machine."""
