"""Push of what `python -m core export` has written, by its option --push."""

from pydantic import Field

from core.cli.one_dataset import refuse_options
from core.cli.push import print_pushed, push_command
from core.cli.push_options import PushOptions
from core.cli.reading import print_progress
from core.errors import StudioError
from core.export.push import push_export
from core.export.result import Exported
from core.hub.target import PushTarget
from core.settings import Settings


class ExportPush(PushOptions):
    """Options of an export that is pushed at its end."""

    push: str = Field("", description="Push the file to this repository of the Hub, owner/name.")

    def push_target(self) -> PushTarget | None:
        """Return where to push; None without --push.

        Raises:
            StudioError: An option of a push is given without --push.
        """
        if self.push:
            return self.target(self.push)
        refuse_options(self.model_fields_set & set(PushOptions.model_fields), "Nothing is pushed without --push")
        return None

    def push_file(self, settings: Settings, written: Exported, target: PushTarget | None) -> None:
        """Push a file; if that fails, say how to push it again without exporting it again.

        Args:
            settings: The studio's settings.
            written: The finished export.
            target: Where to push; None to push nothing.
        """
        if target is None:
            return
        try:
            print_pushed(push_export(settings, written.path.name, target, print_progress))
        except StudioError as error:
            again = push_command(written.path.name, self.push)
            raise StudioError(f"{error}\nThe export is complete. To push it: {again}") from error
