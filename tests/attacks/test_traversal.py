"""Path traversal: names that lead out of a folder, over every endpoint with a text and over the file routes."""

import os
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import StudioError
from core.settings import inside
from tests.helpers.app_server import PageClient
from tests.helpers.space_server import AUTHOR, get, signed_in_headers, visitor_headers

MARK = "only the owner may read this"
OUT = [
    "../runs", "../../etc/passwd", "/etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "a\0b",
    "..\\..\\etc", "．．／etc", "..∕..∕etc", "․․/etc", "file:///etc/passwd", "~root", "$HOME", "--help", "-rf",
    "; touch pwned", "$(touch pwned)", "`touch pwned`", "| touch pwned", "a\nb", "con/../../x", "....//....//etc",
]  # fmt: skip


@pytest.fixture(scope="module")
def owner(on_space):
    made = PageClient(on_space.url, signed_in_headers(AUTHOR))
    yield made
    made.http.close()


def paths_below(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("name", OUT)
def test_inside_refuses_names_that_lead_out(tmp_path, name):
    (tmp_path / "root").mkdir()
    with pytest.raises(StudioError, match="cannot be used as a name"):
        inside(tmp_path / "root", name)


# These start work in processes, which would take too long for every name.
_SLOW = {"chat", "dry_run", "start_run", "check_run", "create_quick_subset"}


@pytest.mark.parametrize("name", OUT)
def test_owner_endpoints_write_nothing_outside_the_home(on_space, owner, name):
    """The name in every text of a named endpoint is refused or harmless, and no file appears outside.

    A call takes up to 0.1 CPU seconds: each endpoint gets a quarter of the names, each name a quarter of the endpoints.
    """
    around = on_space.settings.home.parent
    before = paths_below(around) - {p for p in paths_below(around) if p.startswith("home")}
    info = owner.http.get("/info").json()["named_endpoints"]
    for number, (endpoint, about) in enumerate(info.items()):
        if endpoint.lstrip("/") in _SLOW or (number + OUT.index(name)) % 4:
            continue
        event = next(e for e in owner.events if e["api_name"] == endpoint.lstrip("/"))
        texts = {p["parameter_name"] for p in about["parameters"] if p["type"].get("type") == "string"}
        data, known = [], iter(about["parameters"])
        components = {c["id"]: c for c in owner.config["components"]}
        for part in event["inputs"]:
            if components[part]["type"] == "state":
                data.append(None)
                continue
            parameter = next(known)
            data.append(name if parameter["parameter_name"] in texts else parameter.get("parameter_default"))
        answer = owner.run(event, data)
        error = str(answer["output"].get("error") or "")
        assert "in the studio itself" not in error, (endpoint, error)
        assert "Traceback" not in error
    after = paths_below(around) - {p for p in paths_below(around) if p.startswith("home")}
    assert after == before
    assert not os.path.exists("pwned")


FILES = [
    "/etc/passwd", "//etc/passwd", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "{home}/secret.txt",
    "{home}/exports/../secret.txt", "{home}/exports/%2e%2e/secret.txt", "{home}/uploads/../secret.txt",
    "{home}/exports/link", "{home}/exports/..%2fsecret.txt", "{home}/runs/shown-run/config.json", "app.py",
    "{home}/exports/a%00b", "{home}/published.json",
]  # fmt: skip


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("who", ["owner", "visitor", "nobody"])
def test_file_route_serves_no_file_of_others(on_space, path, who):
    home = on_space.settings.home
    (home / "secret.txt").write_text(MARK)
    link = home / "exports" / "link"
    if not link.is_symlink():
        link.symlink_to(home / "secret.txt")
    headers = {"owner": signed_in_headers(AUTHOR), "visitor": visitor_headers("c" * 32), "nobody": {}}[who]
    answer = get(on_space, f"/gradio_api/file={path.format(home=home)}", headers)
    assert answer.status_code in (400, 403, 404), answer.status_code
    assert MARK not in answer.text
    assert "root:" not in answer.text


@pytest.mark.parametrize("path", ["/static/../../app.py", "/assets/..%2f..%2f..%2fetc%2fpasswd",
                                  "/static/%2fetc%2fpasswd",
                                  "/svelte/....//....//etc/passwd", "/theme.css/../app.py"])  # fmt: skip
def test_page_routes_serve_no_other_files(on_space, path):
    with httpx.Client(base_url=on_space.url) as raw:
        answer = raw.get(path)
    assert "root:" not in answer.text
    assert "import argparse" not in answer.text


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1, max_size=30))
def test_file_route_refuses_a_visitor_any_name(on_space, name):
    answer = get(on_space, f"/gradio_api/file={quote(name, safe='')}", visitor_headers("c" * 32))
    assert answer.status_code in (403, 404)


def test_upload_with_a_hostile_name_stays_in_the_uploads(on_space):
    inside_of = on_space.settings.home / "uploads"
    for name in ("../../evil.jsonl", "/etc/evil.jsonl", "..\\evil.jsonl", "a\0evil.jsonl", "-rf.jsonl", "$(id).jsonl"):
        files = {"files": (name, b'{"prompt": "a", "completion": "b"}\n')}
        answer = httpx.post(
            f"{on_space.url}/gradio_api/upload", files=files, headers=signed_in_headers(AUTHOR), verify=False
        )
        assert answer.status_code in (200, 400, 413)
        for path in answer.json() if answer.status_code == 200 else []:
            assert os.path.realpath(path).startswith(str(inside_of.resolve()))
    assert not list(on_space.settings.home.parent.rglob("evil.jsonl")) or all(
        path.is_relative_to(inside_of) for path in on_space.settings.home.parent.rglob("evil.jsonl")
    )
