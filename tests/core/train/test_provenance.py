"""The provenance that is stored with a run."""

import re
import types

from core.train.provenance import collect_provenance


def test_provenance_has_commit_code_packages_and_hardware():
    model = types.SimpleNamespace(config=types.SimpleNamespace(_commit_hash="abc"))
    found = collect_provenance(model)
    assert found["base_commit"] == "abc"
    assert re.fullmatch(r"[0-9a-f]{7,}(-dirty)?|unknown", found["code"])
    assert found["packages"]["torch"].startswith("2.")
    assert found["hardware"]
