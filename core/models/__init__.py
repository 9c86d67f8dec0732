"""Models: the catalogue, the embedded one, shapes and fast paths, checks of foreign files, and loading."""
