"""Sign-in on a Docker Space, which lacks the variable by which Gradio recognizes a Space."""

import httpx

from tests.helpers.loopback_hub import LoopbackHub
from tests.helpers.oauth_provider import OAuthProvider
from tests.helpers.sign_in_client import readme_scopes
from tests.helpers.space_server import AUTHOR, start_space


def test_docker_space_uses_the_provider(tmp_path):
    """Without SYSTEM=spaces Gradio takes everyone who signs in for the holder of HF_TOKEN, the owner."""
    token = "hf_of_the_owner_0123456789"
    with LoopbackHub(tmp_path / "hub") as hub, OAuthProvider("127.0.0.1:9", readme_scopes()) as provider:
        hub.add_token(token, AUTHOR)
        asked = {"SYSTEM": "", "HF_TOKEN": token, "HF_ENDPOINT": hub.endpoint, **provider.environment}
        app = start_space(tmp_path / "home", **asked)
        with httpx.Client(base_url=app.url, verify=False) as client:
            to = client.get("/login/huggingface")
            assert to.headers["location"].startswith(f"{provider.url}/oauth/authorize?")
            answer = client.get("/login/callback")
            assert "oauth_info" not in answer.headers.get("set-cookie", "")
            assert answer.headers["location"].startswith("/login/huggingface?")
        app.stop()
