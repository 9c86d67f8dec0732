"""Data-parallel training over the GPUs of one machine: rendezvous, sharding, collectives.

Each GPU has a process of its own, a rank. Every rank iterates over the same batches in the same order and takes its own
rows of each, so the order of rows, the steps and the point where a resumed run continues are those of one GPU. A loss
is divided by the number of tokens of all ranks that carry it, and gradients are summed once per update: apart from the
order of the sums, the result is that of one GPU with the whole batch. core/train/rank_launcher.py starts the ranks.
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

# Elements that one all_reduce sums: 64 MiB of float32, small enough for the copy to fit on a GPU that is nearly full.
_BUCKET_ELEMENTS = 2**24


class RankLostError(RuntimeError):
    """A collective that failed because another rank is gone; only that rank knows the cause."""


@dataclass(frozen=True)
class RankGroup:
    """One process's view of the ranks that train a run together.

    Attributes:
        rank: This process's number, from 0.
        world_size: Number of ranks.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_main(self) -> bool:
        """Return whether this is the main rank, which writes events, checkpoints and the adapter."""
        return self.rank == 0

    @property
    def is_single(self) -> bool:
        """Return whether this process trains the run by itself."""
        return self.world_size == 1

    def join(self, rendezvous: Path) -> None:
        """Wait until all ranks are connected.

        Args:
            rendezvous: A file that does not exist yet, the same for all ranks.

        Raises:
            RankLostError: A rank does not arrive.
        """
        import torch
        from torch import distributed

        # All ranks are on this machine, so the loopback interface is enough and needs no open port elsewhere.
        for library in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", "lo")
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        with _rank_lost_on_failure():
            distributed.init_process_group(
                backend, init_method=f"file://{rendezvous}", rank=self.rank, world_size=self.world_size
            )

    def leave(self) -> None:
        """Disconnect from the other ranks."""
        from torch import distributed

        distributed.destroy_process_group()

    def shard(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return this rank's rows of a batch, in the batch's order.

        Ranks get nearly as many tokens: longest first, each row goes to the rank with the fewest tokens that may still
        take one (Graham 1969, doi:10.1137/0117039). No rank takes more than the rounded-up share of the rows, so a
        batch that can be divided gives all ranks equally many. In others a rank with long rows may get fewer, or none.
        Every rank computes the same assignment, so nothing is sent.

        Args:
            rows: The batch, the same on all ranks; each row has "input_ids".
        """
        max_rows = -(-len(rows) // self.world_size)
        shards: list[list[int]] = [[] for _ in range(self.world_size)]
        tokens = [0] * self.world_size
        for index in sorted(range(len(rows)), key=lambda at: (-len(rows[at]["input_ids"]), at)):
            open_ranks = (rank for rank in range(self.world_size) if len(shards[rank]) < max_rows)
            rank = min(open_ranks, key=lambda r: (tokens[r], r))
            shards[rank].append(index)
            tokens[rank] += len(rows[index]["input_ids"])
        return [rows[index] for index in sorted(shards[self.rank])]

    def all_reduce(self, tensors: Iterable["torch.Tensor"]) -> None:
        """Replace each tensor by its sum over all ranks, in place.

        Adapters have hundreds of small tensors: they are joined into few large messages.
        """
        import torch
        from torch import distributed

        for bucket in _buckets(tensors):
            flat = torch.cat([tensor.reshape(-1) for tensor in bucket])  # (elements of the bucket,)
            with _rank_lost_on_failure():
                distributed.all_reduce(flat)
            parts = flat.split([tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def broadcast(self, tensors: Iterable["torch.Tensor"]) -> None:
        """Replace each tensor by the main rank's, in place."""
        from torch import distributed

        with _rank_lost_on_failure():
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), src=0)

    def all_gather(self, value: Any) -> list[Any]:
        """Return every rank's value, in the order of ranks.

        Values are pickled and sent from processor to processor: no GPU is waited for.
        """
        if self.is_single:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.world_size
        with _rank_lost_on_failure():
            distributed.all_gather_object(values, value, group=_cpu_group())
        return values

    def seed_own_generator(self, seed: int) -> None:
        """Give each rank its own RNG seed for dropout and noise; up to this point all ranks share one."""
        import torch

        if not self.is_main:
            torch.manual_seed(seed + self.rank)


SINGLE = RankGroup()


@functools.cache
def _cpu_group() -> Any:
    """Return the process group for Python objects: gloo's, which uses no GPU.

    Creating a group is a collective too: all ranks get here at the same point, their first all_gather.
    """
    from torch import distributed

    return distributed.new_group(backend="gloo")


@contextlib.contextmanager
def _rank_lost_on_failure() -> Iterator[None]:
    """Turn the errors that torch raises when another rank is gone into RankLostError."""
    import torch
    from torch import distributed

    try:
        yield
    except torch.OutOfMemoryError:
        # A RuntimeError too, but this rank's own.
        raise
    except (RuntimeError, distributed.DistError) as error:
        raise RankLostError(f"another GPU's process did not answer: {error}") from error


def _buckets(tensors: Iterable["torch.Tensor"]) -> Iterator[list["torch.Tensor"]]:
    """Yield tensors of one dtype, together at most `_BUCKET_ELEMENTS` elements, or one tensor that is larger."""
    bucket: list[torch.Tensor] = []
    for tensor in tensors:
        is_full = sum(t.numel() for t in bucket) + tensor.numel() > _BUCKET_ELEMENTS
        if bucket and (is_full or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket
