"""Push a folder to a repository of the Hugging Face Hub: the one way anything leaves for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from core.errors import StudioError
from core.hub import client


def push_folder(
    folder: Path,
    repo: str,
    kind: Literal["dataset", "model"],
    message: str,
    private: bool = True,
    token: str | None = None,
    progress: Callable[[float, str], None] = lambda share, words: None,
) -> str:
    """Upload a folder as one commit, to a repository that is made when there is none.

    Args:
        repo: owner/name.
        private: of a repository that is made; one that is there stays as it is.
        token: one that may write; without it the environment's HF_TOKEN. Kept nowhere.

    Returns the address of the commit. Raises StudioError, with the reason and what to do, when it cannot be done.
    """
    from huggingface_hub import HfApi, get_token

    repo = repo.strip()
    if not client.is_hub_id(repo):
        raise StudioError(f"{repo!r} is not a Hub id. Expected owner/name, with your own name or an organisation's.")
    if not (token or get_token()):
        raise StudioError(f"Pushing to {repo!r} needs a token with write access. {client.WRITE_TOKEN_ADVICE}.")
    what = "data set" if kind == "dataset" else kind
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 2**20
    with client.explained(what, repo, client.WRITE_TOKEN_ADVICE):
        api = HfApi(token=token or None)
        progress(0.05, "Asking the Hub who you are")
        api.whoami()
        progress(0.1, f"Making {repo}, unless it is there")
        api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
        progress(0.2, f"Uploading {len(files)} files, {size:.1f} MB")
        done = api.upload_folder(repo_id=repo, folder_path=folder, repo_type=kind, commit_message=message)
    progress(1.0, "Uploaded")
    return str(done.commit_url)
