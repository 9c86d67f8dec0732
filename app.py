"""QLoRA Studio: parse host and port, build the page, serve it."""

import argparse
import os
import sys

# Before gradio is imported: nothing is reported to anybody.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from core.errors import StudioError
from core.settings import Settings, on_space

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    default_host = "0.0.0.0" if on_space() else "127.0.0.1"
    parser.add_argument("--host", default=default_host, help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (default: %(default)s)")
    return parser.parse_args()


def guard(host: str, settings: Settings) -> None:
    """Refuse to serve the whole network unguarded: anyone who reaches the page can start runs and fill the disk."""
    if host not in LOOPBACK and settings.password is None and not on_space():
        raise StudioError(
            f"--host {host} would let everybody on the network use this machine. "
            "Set STUDIO_PASSWORD to a password (the user name is 'studio'), or leave --host at 127.0.0.1."
        )


def main() -> int:
    options = arguments()
    try:
        settings = Settings().prepare()
        guard(options.host, settings)
        from studio.app import build
        from studio.look import CSS, THEME

        demo = build(settings)
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2
    password = settings.password.get_secret_value() if settings.password else None
    demo.queue(default_concurrency_limit=4).launch(
        server_name=options.host,
        server_port=options.port,
        auth=("studio", password) if password else None,
        allowed_paths=[str(settings.exports_dir.resolve())],
        theme=THEME,
        css=CSS,
        footer_links=[],
        run_history=False,  # Gradio would keep every call in the browser, a Hub token typed into the form included
        ssr_mode=False,
        max_file_size="1gb",
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
