"""The command `python -m core chat`: ask the base and the tuned model of a run one question."""

from pydantic import Field
from pydantic_settings import CliPositionalArg

from core.chat.sampling import Sampling
from core.cli.reading import printable
from core.settings import Settings
from core.system.counting import counted


class Chat(Sampling):
    """Ask the base model and the tuned model of a run one question; a classifier answers with its labels."""

    run: CliPositionalArg[str] = Field(description="The id of a run, or of an imported adapter.")
    prompt: CliPositionalArg[str] = Field(description="The question.")
    adapter: str = Field("final", description="'final', a checkpoint such as 'step 20', or an exported GGUF file.")

    def cli_cmd(self) -> None:
        """Print both answers, or the probabilities of a classifier's labels."""
        from core.chat.engine import Engine
        from core.chat.queue_entry import QueueEntry
        from core.chat.requests import resolve_lanes
        from core.chat.types import END_LABELS, LaneRequest, adapter_key
        from core.runs.imported import find_tuned

        question = [{"role": "user", "content": self.prompt}]
        sampling = Sampling(**self.model_dump(include=set(Sampling.model_fields)))
        engine = Engine(Settings().prepare())
        tuned = adapter_key(self.run, self.adapter)
        lanes = [LaneRequest(question, sampling), LaneRequest(question, sampling, tuned)]
        if find_tuned(engine.store, self.run).config().classifies:
            *_, result = engine.ask(QueueEntry(resolve_lanes(engine.store, lanes[1:])))
            labels = "".join(f"{share:7.1%}  {label}\n" for label, share in result.generations[0].labels)
            print(printable(labels), end="")
            return
        *_, result = engine.ask(QueueEntry(resolve_lanes(engine.store, lanes)))
        for title, answer in zip(("base", "tuned"), result.generations, strict=True):
            print(f"[{title}: {counted(answer.tokens, 'token')}, {END_LABELS[answer.end]}]\n{printable(answer.text)}\n")
