import io
import socket
import sys

import pytest

from core.errors import StudioError
from core.system.streams import escape_unprintable
from studio.serve import check_port


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_ascii_stream_escapes_what_it_cannot_print(monkeypatch, name):
    held = io.BytesIO()
    monkeypatch.setattr(sys, name, io.TextIOWrapper(held, encoding="ascii"))
    escape_unprintable()
    print("naïve ✓", file=getattr(sys, name), flush=True)
    assert held.getvalue() == b"na\\xefve \\u2713\n"


def test_port_that_cannot_be_listened_at_is_named():
    with socket.create_server(("127.0.0.1", 0)) as busy:
        taken = busy.getsockname()[1]
        for host, port in (("127.0.0.1", taken), ("127.0.0.1", 70_000), ("192.0.2.1", 0)):
            with pytest.raises(StudioError, match=f"port {port}"):
                check_port(host, port)


def test_linked_model_folder_is_offered_and_found(tmp_path):
    from core.models import catalogue
    from core.settings import Settings

    settings = Settings(home=tmp_path / "home").prepare()
    for name in ("elsewhere", "with space"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (settings.models_dir / name).symlink_to(tmp_path / name)
    offered = [model.name for model in catalogue.available(settings) if model.local]
    assert "elsewhere" in offered
    assert "with space" not in offered
    assert catalogue.find(settings, "elsewhere").local
