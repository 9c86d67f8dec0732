"""Where a push to the Hub goes: repository, branch or pull request, visibility and token."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from core.hub import client


class PushTarget(BaseModel):
    """Settings of a push; the forms, the command line and the documents are derived from them."""

    model_config = ConfigDict(extra="forbid")

    repo: str = Field(
        title="Repository", description="owner/name, with your own name or an organization's. Created if it is new."
    )
    branch: str = Field("", title="Branch", description="Created if it is new. Empty: main.", max_length=200)
    pull_request: bool = Field(
        False, title="As a pull request", description="Proposes the files, to a repository of others too."
    )
    private: bool = Field(True, title="Private", description="For a new repository; an existing one stays as it is.")
    token: SecretStr | None = Field(
        None, title="Token", description="With write access; empty: that of this machine. Used once, never saved."
    )

    @field_validator("repo")
    @classmethod
    def _check_repo(cls, repo: str) -> str:
        """Return the id without spaces around it."""
        repo = repo.strip()
        if not client.is_hub_id(repo):
            raise ValueError(f"{repo[:80]!r} is not a Hub id. Expected owner/name")
        return repo

    @field_validator("branch")
    @classmethod
    def _check_branch(cls, branch: str) -> str:
        """Return the branch without spaces around it; main is the default and the same as none."""
        branch = branch.strip()
        if not client.is_branch(branch or "main"):
            raise ValueError(f"{branch[:80]!r} is not the name of a branch. Use letters, digits, '.', '_', '-' and '/'")
        return "" if branch == "main" else branch

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Refuse a branch with a pull request."""
        if self.pull_request and self.branch:
            raise ValueError("A pull request is opened against main: leave Branch empty, or push to the branch itself")
        return self

    @property
    def secret(self) -> str | None:
        """Return the token as a text; None without one."""
        return (self.token.get_secret_value().strip() or None) if self.token else None
