"""Options of all commands that push to the Hub."""

from typing import Any

from pydantic import BaseModel, Field

from core.hub.target import PushTarget

_FIELDS = PushTarget.model_fields


class PushOptions(BaseModel):
    """Options of a push. The token is HF_TOKEN or that of `hf auth login`: other programs could read a command line."""

    branch: str = Field("", description=f"Branch on the Hub. {_FIELDS['branch'].description}")
    pull_request: bool = Field(False, description=f"Open a pull request. {_FIELDS['pull_request'].description}")
    public: bool = Field(False, description="Create the repository as a public one; an existing one stays as it is.")

    def target(self, repo: str) -> PushTarget:
        """Return the target of a push.

        Args:
            repo: The repository.

        Raises:
            ValidationError: The repository or the branch cannot be one, or the options exclude each other.
        """
        options: dict[str, Any] = {"branch": self.branch, "pull_request": self.pull_request}
        return PushTarget(repo=repo, private=not self.public, **options)
