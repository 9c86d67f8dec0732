"""The command `python -m core serve`: an OpenAI-compatible API of the base model and the adapters of runs."""

import contextlib
import os
import sys

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg

from core.settings import Settings


class Serve(BaseModel):
    """Serve runs and their base model to programs, by an OpenAI-compatible API."""

    runs: CliPositionalArg[list[str]] = Field(description="Runs or imported adapters of one base model.")
    host: str = Field("127.0.0.1", description="Address to listen at; beyond loopback, set STUDIO_API_KEY.")
    port: int = Field(8000, description="Port to listen at.")

    def cli_cmd(self) -> None:
        """Serve until Ctrl+C or SIGTERM."""
        from core.chat.engine import Engine
        from core.serve.served_models import ServedModels
        from core.serve.server import make_server

        settings = Settings().prepare()
        engine = Engine(settings)
        models = ServedModels(engine.store, self.runs)
        models.check()
        server = make_server(settings, engine, models, self.host, self.port)
        for model in models.list_all():
            print(f"{model.name}  {model.title or model.base.label}", flush=True)
        # Ctrl+C is the way to stop it.
        with contextlib.suppress(KeyboardInterrupt):
            server.run()
        sys.stdout.flush()
        # An ordinary exit would abort with an error while the engine's thread is inside a step of the model.
        os._exit(0)
