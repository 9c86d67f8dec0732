"""Access control: roles of callers, what visitors may see, and how much they may use."""
