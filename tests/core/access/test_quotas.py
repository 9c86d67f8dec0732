"""Quotas of visitors and of the disk: their limits, and the tokens that visitors have used."""

import os
import time
from pathlib import Path

import pytest

from core.access import quotas
from core.access.quotas import GIB, Quotas, Tokens, size_of
from core.access.roles import Caller, Role, acting
from core.chat import conversation
from core.chat.queue_entry import QueueEntry
from core.chat.sampling import Sampling
from core.chat.types import BaseIdentity, Generation, LaneRequest, Prompt, ResolvedLanes
from core.chat.visitor_quota import VisitorQuota
from core.errors import StudioError
from core.runs import process
from core.runs.config import QLoRAConfig

VISITOR = Caller(Role.VISITOR, "browser x")


def queue_entry(*lengths: int) -> QueueEntry:
    """Return a queue entry with one lane per maximum length of an answer."""
    lanes = [LaneRequest([{"role": "user", "content": "abc" * 10}], Sampling(max_new_tokens=n)) for n in lengths]
    return QueueEntry(ResolvedLanes(BaseIdentity("tiny"), lanes))


def test_quotas_are_read_from_environment(monkeypatch):
    monkeypatch.setenv("STUDIO_QUOTA_VISITOR_TOKENS", "7")
    assert Quotas().visitor_tokens == 7


def test_reserve_and_settle_count_used_tokens(settings):
    tokens = Tokens(settings, Quotas(visitor_tokens=100, visitors_tokens=150))
    tokens.reserve("a", 80)
    tokens.settle("a", 80, 30)
    assert tokens.used() == {"a": 30}
    assert (tokens.left("a"), tokens.left("b")) == (70, 100)
    tokens.reserve("a", 70)
    tokens.settle("a", 70, 70)
    assert (tokens.left("a"), tokens.left("b")) == (0, 50), "what is left for all visitors is the bound of b"
    with pytest.raises(StudioError, match=r"0 of a visitor's 100 .* tomorrow"):
        tokens.reserve("a", 1)
    with pytest.raises(StudioError, match=r"may take 101 .* 100 of a visitor's 100 .* Shorten the question") as refused:
        tokens.reserve("b", 101)
    assert "tomorrow" not in str(refused.value), "tomorrow it is as much too long"
    with pytest.raises(StudioError, match="used up"):
        tokens.reserve("b", 60)


def test_settle_keeps_no_name_without_tokens(settings):
    tokens = Tokens(settings, Quotas())
    for number in range(50):
        tokens.reserve(f"invented-{number}", 100)
        tokens.settle(f"invented-{number}", 100, number % 2)
    assert tokens.used() == {f"invented-{number}": 1 for number in range(1, 50, 2)}


def test_size_of_counts_files_and_no_links_or_files_that_vanish(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "kept").write_bytes(b"four")
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "kept")
    found = [*tmp_path.rglob("*"), tmp_path / "vanished"]
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: iter(found))
    assert size_of(tmp_path) == (4, 1)


def test_reserve_rejects_second_question_of_visitor(settings):
    tokens = Tokens(settings, Quotas(visitors_waiting=2))
    tokens.reserve("a", 1)
    with pytest.raises(StudioError, match="last question"):
        tokens.reserve("a", 1)
    tokens.reserve("", 1)
    with pytest.raises(StudioError, match="last question"):
        tokens.reserve("", 1)
    with pytest.raises(StudioError, match="Too many"):
        tokens.reserve("c", 1)
    assert set(tokens.used()) == {"a", ""}, "a refused name leaves nothing behind"
    tokens.settle("", 1, 1)
    tokens.reserve("", 1)


def test_token_counts_survive_restart_but_not_the_day(settings, monkeypatch):
    Tokens(settings, Quotas()).reserve("a", 500)
    again = Tokens(settings, Quotas())
    assert again.used() == {"a": 500}
    again._day = "2000-01-01"
    monkeypatch.setattr(quotas, "read_json", lambda path: {"day": "2000-01-01", "used": {"a": 5}})
    assert again.used() == {}


def test_save_writes_the_counts_that_came_soon_after_a_write(settings):
    tokens = Tokens(settings, Quotas())
    tokens.reserve("a", 500)
    tokens.settle("a", 500, 20)
    tokens.reserve("b", 7)
    assert Tokens(settings, Quotas()).used() == {"a": 500}, "at most one write per second"
    tokens.save()
    assert Tokens(settings, Quotas()).used() == {"a": 20, "b": 7}
    written = (settings.home / "visitors.json").stat().st_mtime_ns
    tokens.save()
    assert (settings.home / "visitors.json").stat().st_mtime_ns == written, "there is nothing new"


def test_visitor_answers_are_limited_and_counted(settings):
    quota = VisitorQuota(settings)
    entry = queue_entry(4000, 8)
    with acting(VISITOR):
        settle = quota.reserve(entry)
    most = quota.quotas.visitor_answer
    assert [lane.sampling.max_new_tokens for lane in entry.lanes] == [most, 8]
    assert quota.tokens.used() == {VISITOR.name: 20 + most + 8}
    entry.generations = [Generation(tokens=5), Generation(tokens=8, prefix_tokens=2)]
    entry.prompts, entry.lanes[1].prefix_ids, entry.is_admitted = (
        {0: Prompt([1] * 7, []), 1: Prompt([1] * 4, [])},
        [1, 2],
        True,
    )
    settle()
    assert quota.tokens.used() == {VISITOR.name: 7 + 4 + 2 + 5 + 6}, "the prompts' own tokens, not the estimate"


@pytest.mark.parametrize("prompts", [{}, {0: Prompt([1] * 9, [])}], ids=["never tried", "waited for memory"])
def test_visitor_question_that_was_never_admitted_costs_nothing(settings, prompts):
    quota, entry = VisitorQuota(settings), queue_entry(8)
    with acting(VISITOR):
        settle = quota.reserve(entry)
    entry.generations, entry.prompts = [Generation(end="stopped")], prompts
    settle()
    assert not any(quota.tokens.used().values())


def test_visitor_reservation_includes_the_system_prompt_and_a_continued_answer(settings):
    quota, entry = VisitorQuota(settings), queue_entry(8)
    entry.lanes[0].prefix_ids, entry.lanes[0].sampling.system = [1, 2, 3], "abc" * 5
    with acting(VISITOR):
        quota.reserve(entry)
    assert quota.tokens.used() == {VISITOR.name: 10 + 5 + 3 + 8}


def test_owner_is_not_limited(settings):
    quota, entry = VisitorQuota(settings), queue_entry(4000)
    quota.reserve(entry)()
    assert entry.lanes[0].sampling.max_new_tokens == 4000
    assert quota.tokens.used() == {}


def test_oldest_visitor_chats_beyond_quota_are_deleted(settings):
    owners = conversation.new_conversation()
    conversation.save(settings, owners)
    made = []
    for _ in range(4):
        with acting(VISITOR):
            made.append(conversation.new_conversation())
            conversation.save(settings, made[-1])
            assert conversation.load(settings, owners.id) is None, "the owner's is not a visitor's to read"
    conversation.delete_oldest_visitor_chats(settings, 2)
    assert [conversation.load(settings, one.id) is not None for one in made] == [False, False, True, True]
    assert conversation.load(settings, owners.id)


def test_upload_beyond_quota_is_rejected(settings):
    folder = settings.home / "uploads"
    folder.mkdir()
    (folder / "one").write_bytes(b"x" * 1000)
    small = Quotas(upload_mib=1, uploads=2, uploads_gib=2e-6, free_gib=0)
    quotas.check_upload_quota(settings, small, folder, 1000)
    for limits, size, words in (
        (small, 2**21, "1 MiB are allowed"), (small, 1200, "Uploads would take"), (small, None, "no Content-Length"),
        (Quotas(uploads=1), 1, "1 upload is stored, and the limit is 1"), (Quotas(free_gib=10**9), 1, "must stay free"),
    ):  # fmt: skip
        with pytest.raises(StudioError, match=words):
            quotas.check_upload_quota(settings, limits, folder, size)


def test_upload_that_broke_off_takes_nothing_of_the_quota(settings):
    """Gradio writes an upload into the folder itself and, once it is complete, moves it into a folder of its own."""
    folder = settings.home / "uploads"
    (folder / "hash").mkdir(parents=True)
    for path, age in ((folder / "tmp1", 9_000), (folder / "tmp2", 5), (folder / "hash" / "rows.jsonl", 9_000)):
        path.write_bytes(b"x" * 1000)
        os.utime(path, (time.time() - age,) * 2)
    quotas.check_upload_quota(settings, Quotas(uploads=3, uploads_gib=3e-6, free_gib=0), folder, 1000)
    assert quotas.size_of(folder) == (2000, 2)
    assert not (folder / "tmp1").exists()


def test_run_beyond_quota_is_rejected(a_run, runs, monkeypatch):
    a_run()
    monkeypatch.setenv("STUDIO_QUOTA_RUNS", "1")
    with pytest.raises(StudioError, match="1 run is stored, and the limit is 1"):
        process.submit(runs, QLoRAConfig())
    with acting(VISITOR), pytest.raises(StudioError, match="Only the owner can start a run"):
        process.submit(runs, QLoRAConfig())
    assert len(runs.runs()) == 1


def test_parse_limits_follow_the_quotas():
    limits = Quotas(parse_gib=2, parse_seconds=7, parse_disk_gib=3).parse_limits()
    assert (limits.memory, limits.seconds, limits.written) == (2 * GIB, 7, 3 * GIB)
