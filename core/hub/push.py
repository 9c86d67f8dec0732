"""Upload of a folder to a repository of the Hugging Face Hub; nothing else is ever sent there."""

from pathlib import Path
from typing import Any, Literal

from core.errors import StudioError
from core.hub import client
from core.system.counting import counted
from core.system.jobs import Progress, ignore_progress
from core.system.sizes import format_size


def push_folder(
    folder: Path,
    repo: str,
    kind: Literal["dataset", "model"],
    message: str,
    private: bool = True,
    token: str | None = None,
    progress: Progress = ignore_progress,
) -> str:
    """Upload a folder as one commit, and create the repository if it does not exist.

    Args:
        folder: The folder.
        repo: Hub id, owner/name.
        kind: Type of the repository.
        message: Commit message.
        private: Whether a new repository is private; an existing one stays as it is.
        token: Token with write access, which is not stored; without one, HF_TOKEN is used.
        progress: Takes the fraction that is done and a description.

    Returns:
        The URL of the commit.

    Raises:
        StudioError: The Hub refuses the upload, or cannot be reached.
    """
    repo = repo.strip()
    api = _connect(repo, token)
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = format_size(sum(path.stat().st_size for path in files))
    with client.explained(kind, repo, client.WRITE_TOKEN_ADVICE):
        progress(0.05, "Checking the token")
        api.whoami()
        progress(0.1, f"Creating {repo} if it does not exist")
        api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
        progress(0.2, f"Uploading {counted(len(files), 'file')}, {size}")
        done = api.upload_folder(repo_id=repo, folder_path=folder, repo_type=kind, commit_message=message)
    progress(1.0, "Uploaded")
    return str(done.commit_url)


def _connect(repo: str, token: str | None) -> Any:
    """Return the Hub's API for pushing to a repository; raise StudioError if its id or the token cannot be right."""
    from huggingface_hub import HfApi, get_token

    if not client.is_hub_id(repo):
        raise StudioError(f"{repo!r} is not a Hub id. Expected owner/name, with your own name or an organization's.")
    if not (token or get_token()):
        raise StudioError(f"Pushing to {repo!r} needs a token with write access. {client.WRITE_TOKEN_ADVICE}.")
    return HfApi(token=token or None)
