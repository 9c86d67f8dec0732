"""Models: the list of those that can be used (`catalogue`), the built-in one (`embedded`), and loading (`loading`)."""
