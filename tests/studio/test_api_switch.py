"""The switch of the API: off at first, the owner's alone, and a key for every request in every way of serving."""

import asyncio

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette

from core.access.quotas import Quotas
from core.access.roles import Access, Caller, Role, Way, acting
from core.chat.engine import Engine
from core.errors import StudioError
from core.settings import Settings
from studio.api_switch import ApiSwitch
from studio.authorized_blocks import AuthorizedBlocks
from studio.middleware import AccessMiddleware
from tests.helpers.api_switch import REQUEST, key_of


def make(settings, way=Way.OWN_MACHINE):
    """Return a switch, and a function that asks its routes behind the middleware of the page."""
    switch = ApiSwitch(settings, Engine(settings))
    blocks = AuthorizedBlocks(Access(way, "keeper"))
    app = AccessMiddleware(Starlette(routes=switch.routes()), blocks, settings, Quotas())

    def ask(method="GET", path="/models", key="", **options):
        async def send():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost/v1") as client:
                headers = {"authorization": f"Bearer {key}"} | options.pop("headers", {})
                return await client.request(method, path, headers=headers, **options)

        return asyncio.run(send())

    return switch, ask


def test_api_is_off_until_the_owner_switches_it_on(runs):
    switch, ask = make(runs.settings)
    assert (ask().status_code, ask().json()["error"]["message"].split(".")[0]) == (404, "The API is switched off")
    shown = switch.switch_on(REQUEST)
    assert "http://localhost:7860/v1" in shown["about"]
    key = key_of(shown)
    assert ask(key=key).status_code == 200
    assert ask().status_code == ask(key=f"{key}x").status_code == 401
    # The key is shown once, and a new one takes its place.
    assert key not in switch.fill(REQUEST)["about"]
    assert key_of(switch.switch_on(REQUEST)) != key
    assert ask(key=key).status_code == 401
    switch.switch_off(REQUEST)
    assert ask(key=key).status_code == 404


@pytest.mark.parametrize("way", [Way.PASSWORD, Way.SPACE])
def test_key_is_enough_where_a_browser_would_sign_in(runs, way):
    switch, ask = make(runs.settings, way)
    key = key_of(switch.switch_on(REQUEST))
    assert ask(key=key).status_code == 200
    assert ask().status_code == 401
    body = {"model": "no-such-model", "prompt": "x"}
    assert ask("POST", "/completions", key, json=body).json()["error"]["code"] == "model_not_found"


def test_visitor_may_not_switch(runs):
    switch, ask = make(runs.settings, Way.SPACE)
    with acting(Caller(Role.VISITOR, "browser a")):
        for handler in (switch.fill, switch.switch_on, switch.switch_off):
            with pytest.raises(StudioError, match="Only the owner"):
                handler(REQUEST)
    assert ask().status_code == 404


def test_key_of_the_environment_is_used_and_not_shown(runs):
    settings = runs.settings.model_copy(update={"api_key": SecretStr("a-key-of-my-own-0123")})
    switch, ask = make(settings)
    about = switch.switch_on(REQUEST)["about"]
    assert "STUDIO_API_KEY" in about
    assert "a-key-of-my-own" not in about
    assert ask(key="a-key-of-my-own-0123").status_code == 200
    short, _ = make(Settings(home=settings.home, api_key=SecretStr("short")))
    with pytest.raises(StudioError, match="at least 16"):
        short.switch_on(REQUEST)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"headers": {"origin": "https://attacker.example"}, "method": "POST", "path": "/completions"}, 403),
        ({"headers": {"host": "attacker.example"}}, 403),
        ({"headers": {"content-length": "2, 3"}, "method": "POST", "path": "/completions"}, 400),
        ({"path": "/a/../b%2e"}, 404),
    ],
)
def test_refusal_of_the_page_has_the_shape_of_the_api(runs, options, status):
    switch, ask = make(runs.settings)
    answer = ask(key=key_of(switch.switch_on(REQUEST)), **options)
    assert answer.status_code == status
    assert answer.json()["error"]["message"].endswith(".")
