"""Jobs that let a judge compare answers: a server, or a model that is loaded here."""

from core.evaluate.judge.endpoint import EndpointJudge
from core.evaluate.judge.judging import Pair, judge
from core.evaluate.store import Evaluation
from core.settings import Settings
from core.system.jobs import Progress, ignore_progress


def judge_by_server(
    evaluation: Evaluation, pair: Pair, url: str, key: str = "", progress: Progress = ignore_progress
) -> None:
    """Ask a server about all prompts that lack a valid reply.

    Args:
        evaluation: The evaluation.
        pair: The lanes; the judge is the model's name on the server.
        url: The server's base address.
        key: Its secret; empty for that of the environment.
        progress: Called with the share that is done, 0 to 1, and the count in words.

    Raises:
        StudioError: The address is not usable, or the judge fails again and again.
    """
    client = EndpointJudge(url, pair.judge, key)
    try:
        judge(evaluation, pair, client.ask, progress)
    finally:
        client.close()


def judge_here(evaluation: Evaluation, pair: Pair, settings: Settings, progress: Progress = ignore_progress) -> None:
    """Ask a model of the catalogue about all prompts that lack a valid reply.

    Args:
        evaluation: The evaluation.
        pair: The lanes; the judge is the model's name.
        settings: The studio's settings.
        progress: Called with the share that is done, 0 to 1, and the count in words.

    Raises:
        StudioError: The model does not exist, or its memory is in use.
    """
    from core.evaluate.judge.local import LocalJudge

    judge(evaluation, pair, LocalJudge(settings, pair.judge, lambda text: progress(0.0, text)).ask, progress)
