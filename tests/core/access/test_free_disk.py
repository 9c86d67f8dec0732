"""Every way by which bytes come from outside leaves the reserve of the disk free (STUDIO_QUOTA_FREE_GIB)."""

import ast
import gzip
import io
import zipfile
from types import SimpleNamespace

import datasets
import pytest
from datasets import Dataset

from core.access import free_disk
from core.access.free_disk import check_free_disk, writable_bytes
from core.access.quotas import Quotas, check_upload_quota
from core.data import sources
from core.errors import StudioError
from core.export.import_adapter import import_adapter
from core.export.import_settings import ImportSettings
from core.hub import download
from core.models import embedded, trial
from core.models.catalogue import Model
from core.settings import Settings
from tests.helpers.hub_clients import jsonl
from tests.helpers.hub_endpoint import use_hub
from tests.helpers.loopback_hub import LoopbackHub
from tests.helpers.source_files import below, for_each_file, name_of

ROWS = [{"prompt": f"Question {number}?", "completion": "An answer."} for number in range(8)]
ADAPTER = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"x" * 5000}


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home").prepare()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with LoopbackHub(tmp_path / "hub") as served:
        served.add_repo("dataset", "someone/rows", {"train.jsonl": jsonl(ROWS)})
        served.add_repo("model", "someone/adapter", ADAPTER)
        use_hub(served, monkeypatch)
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", served.endpoint)
        yield served


def upload(settings, tmp_path, hub):
    check_upload_quota(settings, Quotas(), settings.uploads_dir, 1000)


def open_packed_file(settings, tmp_path, hub):
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(jsonl(ROWS)))
    sources.open_file(settings, path)


def open_saved_folder(settings, tmp_path, hub):
    Dataset.from_list(ROWS).save_to_disk(tmp_path / "saved")
    sources.open_folder(settings, tmp_path / "saved")


def open_hub_dataset(settings, tmp_path, hub):
    sources.open_hub(settings, "someone/rows")


def import_zip(settings, tmp_path, hub):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in ADAPTER.items():
            archive.writestr(name, content)
    (tmp_path / "adapter.zip").write_bytes(packed.getvalue())
    import_adapter(settings, ImportSettings(source=""), tmp_path / "adapter.zip")


def import_from_hub(settings, tmp_path, hub):
    import_adapter(settings, ImportSettings(source="someone/adapter"))


def download_model(settings, tmp_path, hub):
    files = [SimpleNamespace(filename="model.safetensors", file_size=5000, will_download=True)]
    download.download("model", "someone/adapter", files, None, print, lambda: False)


def fetch_tokenizer(settings, tmp_path, hub):
    trial._find_files(Model("someone/adapter", "", "someone/adapter", False))


def prepare_embedded_model(settings, tmp_path, hub):
    embedded.prepare(settings)


# Each with the bytes that are free beside the reserve: too few where the size is known before; where it is not, the
# reserve itself must be free.
WAYS = [
    (upload, 100), (open_packed_file, -1), (open_saved_folder, -1), (open_hub_dataset, 100), (import_zip, 100),
    (import_from_hub, 100), (download_model, 100), (fetch_tokenizer, -1), (prepare_embedded_model, 100),
]  # fmt: skip


@pytest.mark.parametrize(("way", "spare"), WAYS, ids=[way.__name__ for way, _ in WAYS])
def test_bytes_from_outside_leave_the_reserve_free(settings, tmp_path, hub, way, spare, monkeypatch):
    monkeypatch.setenv("STUDIO_QUOTA_FREE_GIB", "2")
    monkeypatch.setattr(free_disk.shutil, "disk_usage", lambda folder: SimpleNamespace(free=2 * 2**30 + spare))
    with pytest.raises(StudioError, match=r"2 GiB must stay free \(STUDIO_QUOTA_FREE_GIB\)|may be unpacked"):
        way(settings, tmp_path, hub)
    left = [path for path in settings.home.rglob("*") if path.is_file() and not path.name.endswith(".lock")]
    assert left == []


@pytest.mark.parametrize("way", [open_packed_file, open_saved_folder, open_hub_dataset], ids=lambda way: way.__name__)
def test_opening_works_with_enough_disk(settings, tmp_path, hub, way):
    way(settings, tmp_path, hub)


def test_reserve_is_subtracted_and_the_nearest_folder_is_asked(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        free_disk.shutil, "disk_usage", lambda folder: asked.append(folder) or SimpleNamespace(free=3 * 2**30)
    )
    assert writable_bytes(tmp_path / "not" / "there", 1) == 2 * 2**30
    assert writable_bytes(tmp_path, 4) == 0
    check_free_disk(tmp_path, 1, 2 * 2**30)
    with pytest.raises(StudioError, match=r"rows.csv needs 2.0 GiB more, .* 3.0 GiB free, of which 1 GiB must stay"):
        check_free_disk(tmp_path, 1, 2 * 2**30 + 1, "rows.csv")
    assert set(asked) == {tmp_path}


# Functions that ask the disk itself: to show what is free, and the check.
MAY_ASK = {"core/access/free_disk.py", "core/runs/checks.py", "studio/owner_tab.py"}


@for_each_file([*below("core/"), *below("studio/")])
def test_only_the_check_asks_the_disk(path):
    names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert "disk_usage" not in names or name_of(path) in MAY_ASK
