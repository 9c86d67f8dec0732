"""MCP tools: the key of the API opens them, those that only read come first, and the `mcp` client can call them."""

import asyncio
import importlib.util
import json
import re

import httpx
import pytest
from starlette.requests import Request

from core.access.roles import Access, Way
from core.chat.engine import Engine
from core.web.origin import RefusalError
from studio import mcp_server
from studio.api_switch import ApiSwitch
from studio.authorized_blocks import AuthorizedBlocks
from studio.mcp_server import MCP_PATH, READ_ONLY, check_mcp, is_available, is_mcp
from tests.helpers.api_switch import REQUEST, key_of
from tests.helpers.app_server import AppServer, QueueClient
from tests.helpers.source_files import PROJECT

KEY, PASSWORD = "a-key-of-my-own-0123456789", "open sesame"
needs_mcp = pytest.mark.skipif(
    importlib.util.find_spec("mcp") is None, reason="the package mcp is not installed (requirements-mcp.txt)"
)


def named_calls():
    return set(re.findall(r"^## /(\w+)$", (PROJECT / "docs" / "api.md").read_text(encoding="utf-8"), re.MULTILINE))


def test_tools_that_only_read_are_named_calls():
    assert named_calls() > READ_ONLY
    changing = {
        "start_run", "stop_run", "kill_run", "delete_run", "push_subset", "publish", "create_subset", "save_run_label",
        "export_run", "open_file",
    }  # fmt: skip
    assert not READ_ONLY & changing


def test_space_has_no_tools(monkeypatch):
    monkeypatch.setattr(mcp_server.importlib.util, "find_spec", lambda name: object())
    assert [is_available(way) for way in (Way.OWN_MACHINE, Way.PASSWORD, Way.SPACE)] == [True, True, False]
    monkeypatch.setattr(mcp_server.importlib.util, "find_spec", lambda name: None)
    assert not is_available(Way.OWN_MACHINE)


def request(key="", method="POST", **headers):
    given = {"host": "localhost:7860", "authorization": f"Bearer {key}"} | headers
    scope = {
        "type": "http", "method": method, "scheme": "http", "path": f"{MCP_PATH}/", "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
        "server": ("localhost", 7860), "client": ("127.0.0.1", 5),
    }  # fmt: skip
    return Request(scope)


def test_request_without_the_key_reaches_no_tool(runs):
    blocks = AuthorizedBlocks(Access(Way.OWN_MACHINE))
    switch = blocks.api_switch = ApiSwitch(runs.settings, Engine(runs.settings), has_mcp=True)

    def status(asked, size=10):
        assert is_mcp(asked)
        with pytest.raises(RefusalError) as refused:
            asyncio.run(check_mcp(blocks, asked, size))
        return refused.value.status

    assert status(request()) == 404
    key = key_of(switch.switch_on(REQUEST))
    assert asyncio.run(check_mcp(blocks, request(key), 10)).is_owner
    assert status(request("wrong")) == 401
    assert status(request(key, "GET")) == 405
    assert status(request(key), None) == status(request(key), 2**22 + 1) == 413
    assert (
        status(request(key, host="attacker.example")) == status(request(key, origin="http://attacker.example")) == 403
    )
    switch.has_mcp = False
    assert status(request(key)) == 404


def test_tools_change_nothing_until_the_owner_allows_it(runs):
    switch = ApiSwitch(runs.settings, Engine(runs.settings), has_mcp=True)
    switch.allow_changes(True)
    assert not switch.allows_changes(), "the API is off"
    assert f"http://localhost:7860{MCP_PATH}/" in switch.switch_on(REQUEST)["about"]
    assert not switch.allows_changes()
    switch.allow_changes(True)
    assert switch.allows_changes()
    switch.switch_off(REQUEST)
    assert not switch.allows_changes()


@needs_mcp
def test_mcp_client_calls_the_tools(tmp_path, app_fork_server):
    app = AppServer(
        tmp_path / "home", fork_server=app_fork_server, STUDIO_API_KEY=KEY, STUDIO_PASSWORD=PASSWORD, STUDIO_EXAMPLE="1"
    )
    try:
        signed_in = httpx.post(f"{app.url}/login", data={"username": "studio", "password": PASSWORD})
        page = QueueClient(app.url, cookies=signed_in.cookies)
        assert page.run(page.event_of("api-on", "click"), [])["success"]
        asyncio.run(use_tools(f"{app.url}{MCP_PATH}/", page))
    finally:
        app.stop()


async def use_tools(url, page):
    from mcp import ClientSession
    from mcp.client.streamable_http import streamablehttp_client

    headers = {"authorization": f"Bearer {KEY}"}
    async with streamablehttp_client(url, headers) as (read, write, _), ClientSession(read, write) as session:

        async def call(tool, /, **arguments):
            answer = await session.call_tool(tool, arguments)
            return answer.isError, answer.content[0].text

        await session.initialize()
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert set(tools) == READ_ONLY
        assert '"enum"' not in json.dumps([tool.inputSchema for tool in tools.values()])
        dataset = re.search(r"'id': '(keeper-\w+)'", (await call("list_datasets"))[1]).group(1)
        assert not (await call("choose", name=dataset))[0]
        assert "[[340]]" in (await call("sql", sql="SELECT count(*) AS n FROM rows"))[1]
        assert (await call("kill", run_id="example-keeper"))[0]
        assert page.run(page.event_of("mcp-changes", "input"), [True])["success"]
        assert {tool.name for tool in (await session.list_tools()).tools} == named_calls()
        failed, text = await call("stop", run_id="no-such-run")
        assert failed
        assert "There is no run" in text
