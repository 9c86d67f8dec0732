"""The command `python -m core exports`: list the exported files, and delete one of them."""

import time

from pydantic import BaseModel, Field

from core.export.files import delete_file, list_files
from core.settings import Settings
from core.system.sizes import format_size


class Exports(BaseModel):
    """List the finished files in exports/, the newest first, or delete one of them."""

    delete: str = Field("", description="Name of a file to delete, as the list prints it.")

    def cli_cmd(self) -> None:
        """Print the files, or delete one."""
        settings = Settings().prepare()
        if self.delete:
            print(f"Deleted {self.delete}; {format_size(delete_file(settings, self.delete))} were freed.")
            return
        for file in list_files(settings):
            made = time.strftime("%Y-%m-%d %H:%M", time.localtime(file.made))
            print(f"{file.name}  {file.form}  {format_size(file.size)}  {made}")
