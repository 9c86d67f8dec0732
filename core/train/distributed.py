"""Several processes that train one run, one a GPU: what each takes of a batch, and what they tell each other.

Every rank walks through the same batches in the same order and takes its own rows of each, so the order of rows, the
steps and the place to go on from are those of one GPU. A loss is divided by the answer tokens of all ranks, and the
gradients of the trained weights are added up once an update: what is learned is what one GPU would have learned from
the whole batch, but for the order of sums. core/train/rank_launcher.py starts the ranks.
"""

import contextlib
import functools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_BUCKET = 2**24  # numbers that are added up in one go: 64 MiB, so that a full card has room for them


class RankLost(RuntimeError):
    """Another rank did not answer; why it did not is for that rank to tell."""


@dataclass(frozen=True)
class Ranks:
    """Attributes:
    number, count: this rank, from 0, of how many.
    """

    number: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes."""
        return self.number == 0

    @property
    def alone(self) -> bool:
        return self.count == 1

    def join(self, meeting: Path) -> None:
        """Wait until all ranks are there. `meeting` is a file that none of them has made yet."""
        import torch
        from torch import distributed

        for kind in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{kind}_SOCKET_IFNAME", "lo")  # all are on this machine
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        with _answered():
            distributed.init_process_group(
                backend, init_method=f"file://{meeting}", rank=self.number, world_size=self.count
            )

    def leave(self) -> None:
        from torch import distributed

        distributed.destroy_process_group()

    def share(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """This rank's rows of a batch, in their order: as many as the others' to within one, and nearly as many tokens.

        Longest first, each row goes to the rank with the fewest tokens that has a place left (Graham 1969,
        doi:10.1137/0117039). In a batch that is too small for all, some get none.
        """
        places = -(-len(rows) // self.count)
        taken: list[list[int]] = [[] for _ in range(self.count)]
        tokens = [0] * self.count
        for at in sorted(range(len(rows)), key=lambda at: (-len(rows[at]["input_ids"]), at)):
            rank = min((r for r in range(self.count) if len(taken[r]) < places), key=lambda r: (tokens[r], r))
            taken[rank].append(at)
            tokens[rank] += len(rows[at]["input_ids"])
        return [rows[at] for at in sorted(taken[self.number])]

    def add_up(self, tensors: Iterable["torch.Tensor"]) -> None:
        """Put the sum over all ranks in the place of each tensor."""
        import torch
        from torch import distributed

        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
            with _answered():
                distributed.all_reduce(flat)
            parts = flat.split([tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def as_first(self, tensors: Iterable["torch.Tensor"]) -> None:
        """Put the first rank's values in the place of each tensor's."""
        from torch import distributed

        with _answered():
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), src=0)

    def all_of(self, mine: Any) -> list[Any]:
        """What every rank says, in their order. It waits for the processors, not for the GPUs."""
        if self.alone:
            return [mine]
        from torch import distributed

        said: list[Any] = [None] * self.count
        with _answered():
            distributed.all_gather_object(said, mine, group=_words())
        return said

    def own_noise(self, seed: int) -> None:
        """Dropout and noise of this rank's own: until here all ranks drew the same numbers."""
        import torch

        if not self.first:
            torch.manual_seed(seed + self.number)


ALONE = Ranks()


@functools.cache
def _words() -> Any:
    """The group that carries words: gloo's, which leaves the GPU alone. All ranks ask for it first at the same time."""
    from torch import distributed

    return distributed.new_group(backend="gloo")


@contextlib.contextmanager
def _answered() -> Iterator[None]:
    """Tells what torch raises when another rank is gone from what goes wrong here."""
    from torch import distributed

    try:
        yield
    except (RuntimeError, distributed.DistError) as error:
        raise RankLost(f"another GPU's process did not answer: {error}") from error


def _buckets(tensors: Iterable["torch.Tensor"]) -> Iterator[list["torch.Tensor"]]:
    """Tensors of one kind, together at most _BUCKET numbers or one tensor."""
    bucket: list[torch.Tensor] = []
    for tensor in tensors:
        full = sum(t.numel() for t in bucket) + tensor.numel() > _BUCKET
        if bucket and (full or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket
