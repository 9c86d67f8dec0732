"""A loopback Hub for pushes of the test's own process and of the jobs that it starts."""

from huggingface_hub import constants

from tests.helpers.loopback_hub import LoopbackHub

# As long as a real one.
TOKEN = "hf_" + "w" * 34


def use_hub(hub: LoopbackHub, monkeypatch) -> None:
    """Send the requests of huggingface_hub to a loopback Hub, and let it find no token.

    The environment reaches processes that import huggingface_hub later; this one has imported it.
    """
    for name, value in {"HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    template = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + template)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(hub.folder / "no-token"))
