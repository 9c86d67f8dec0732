"""Parse host and port, and serve the page."""

import argparse
import os
import sys

# Set before gradio is imported, which reads them at import, so that no usage is reported to other hosts.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from core.errors import StudioError
from core.settings import Settings, on_space
from core.system.fast_imports import disable_compiler, pause_gc
from core.system.shared_imports import share_first_import
from core.system.streams import escape_controls_of_logs, escape_unprintable


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="QLoRA Studio: fine-tune Llama models in the browser.")
    default_host = "0.0.0.0" if on_space() else "127.0.0.1"
    parser.add_argument("--host", default=default_host, help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--share", action="store_true", help="open a public link through Gradio's tunnel; needs a password"
    )
    return parser.parse_args()


def main() -> int:
    """Serve the page and return the exit status: 2 for an error that the user can fix."""
    options = parse_arguments()
    disable_compiler()
    share_first_import()
    escape_unprintable()
    escape_controls_of_logs()
    try:
        settings = Settings().prepare()
        os.environ.setdefault("GRADIO_TEMP_DIR", str(settings.uploads_dir))
        if on_space():
            # Downloads from the Hub go to the persistent disk.
            os.environ.setdefault("HF_HOME", str(settings.home / "hub"))
        with pause_gc():
            from studio.serve import serve

        serve(settings, options.host, options.port, options.share)
    except StudioError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
