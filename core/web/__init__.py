"""Guards of HTTP requests, shared by the page and the API server: origin, sizes, times, connections, wrong secrets."""
