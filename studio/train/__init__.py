"""The parts of the Train tab: the form, the watch, the control of runs."""
