"""Instruction data: where rows come from (`sources`), what they mean (`formats`), how they are kept and paged
(`table`), which of them train (`subset`), and how one becomes tokens and a loss mask (`tokens`)."""
