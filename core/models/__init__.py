"""Which models there are (`catalogue`), the one that is always there (`embedded`), and loading them (`loading`)."""
