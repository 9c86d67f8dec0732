"""The command `python -m core exports`: list the exported files, delete one of them, and check its signature."""

import time
from pathlib import Path

from pydantic import BaseModel, Field

from core.errors import StudioError
from core.export.files import delete_file, find_file, list_files
from core.export.signing import verify
from core.settings import Settings
from core.system.sizes import format_size


class Exports(BaseModel):
    """List the finished files in exports/, the newest first; delete one of them, or check its signature."""

    delete: str = Field("", description="Name of a file to delete, as the list prints it.")
    verify: str = Field("", description="Name of a file whose signature is checked, with --key.")
    key: Path | None = Field(None, description="The public key (PEM) for --verify.")

    def cli_cmd(self) -> None:
        """Print the files, delete one, or check its signature.

        Raises:
            StudioError: There is no such file, or its signature is not of this file and this key.
        """
        settings = Settings().prepare()
        if bool(self.verify) != bool(self.key) or (self.verify and self.delete):
            raise StudioError("A signature is checked by both --verify NAME and --key PUBLIC.pem, without --delete.")
        if self.verify and self.key:
            verify(find_file(settings, self.verify), self.key)
            print(f"{self.verify} is what was signed with the private key of {self.key}.")
            return
        if self.delete:
            print(f"Deleted {self.delete}; {format_size(delete_file(settings, self.delete))} were freed.")
            return
        for file in list_files(settings):
            made = time.strftime("%Y-%m-%d %H:%M", time.localtime(file.made))
            print(f"{file.name}  {file.form}  {format_size(file.size)}  {made}")
