"""Training by several processes in step: each attacks its part of a batch, gradients are averaged.

The attack runs on the bare module, since every forward through the wrapper prepares a reduction;
then the worst points pass the wrapper once (DistributedDataParallel, Li et al. 2020).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from hauberk.core.digest import digest_bytes, digest_json
from hauberk.core.errors import HauberkError
from hauberk.harden.selection import Score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Team:
    """The processes of one training: ``rank`` of ``size``; alone by default.

    All of them see the same data and call the same functions in the same order. Rank 0 measures,
    decides and keeps checkpoints; the others take its word, since machines may round differently.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes what comes of it."""
        return self.rank == 0

    def wrapped(self, module: nn.Module) -> nn.Module:
        """What the loss is computed through, so that its gradients are averaged."""
        return module if self.size == 1 else DistributedDataParallel(module)

    def part(self, rows: Tensor) -> tuple[Tensor, float]:
        """This process's rows of a batch, and what makes the parts' means that of the whole.

        A batch with fewer rows than there are processes is each one's.
        """
        if len(rows) < self.size:
            return rows, 1.0
        part = rows[self.rank :: self.size]
        return part, len(part) * self.size / len(rows)

    def scatter(self, generator: torch.Generator) -> None:
        """From here on each process draws noise of its own; alone, it goes on as before."""
        if self.size > 1:
            own = generator.initial_seed() + self.rank * 0x9E3779B97F4A7C15
            generator.manual_seed(own % 2**63)

    def total(self, value: float) -> float:
        """The sum over all processes, the same bits for each."""
        if self.size == 1:
            return value
        both = torch.tensor([value], dtype=torch.float64)
        dist.all_reduce(both)
        return float(both)

    def told(self, value: bytes | None) -> bytes | None:
        """What rank 0 has."""
        if self.size == 1:
            return value
        length = torch.tensor([-1 if value is None else len(value)])
        dist.broadcast(length, src=0)
        if int(length) < 0:
            return None
        data = torch.zeros(int(length), dtype=torch.uint8)
        if self.leads and value:
            data.copy_(torch.frombuffer(bytearray(value), dtype=torch.uint8))
        dist.broadcast(data, src=0)
        return data.numpy().tobytes()

    def score(self, measure: Callable[[], Score]) -> Score:
        """The score that rank 0 measures; the others wait for it."""
        if self.size == 1:
            return measure()
        told = self.told(msgspec.json.encode(asdict(measure())) if self.leads else None)
        return Score(**msgspec.json.decode(told or b"{}"))

    def level(self, module: nn.Module) -> None:
        """Give every process rank 0's buffers: statistics of batches differ from part to part.

        Raises:
            HauberkError: if the weights are no longer the same bits everywhere.
        """
        if self.size == 1:
            return
        for buffer in module.buffers():
            dist.broadcast(buffer, src=0)
        own = weights_digest(module)
        if self.told(own.encode()) != own.encode():
            raise HauberkError(
                "the processes' weights have gone apart",
                where=f"training: rank {self.rank}",
                hint="do all machines run the same version of torch?",
            )


def weights_digest(module: nn.Module) -> str:
    """The digest of a module's weights and buffers, bit for bit."""
    state: dict[str, Any] = module.state_dict()
    return digest_json(
        {name: digest_bytes(value.contiguous().numpy().tobytes()) for name, value in state.items()}
    )


@contextmanager
def joined() -> Iterator[Team]:
    """The team that ``torchrun`` started this process in; leaves it when the block ends.

    Raises:
        HauberkError: if the others cannot be found.
    """
    try:
        dist.init_process_group("gloo")
    except (ValueError, RuntimeError) as error:
        raise HauberkError(
            f"cannot join the other processes: {str(error).splitlines()[0][:160]}",
            where="training",
            hint="`torchrun` starts all of them, and says where they meet",
        ) from None
    try:
        yield Team(rank=dist.get_rank(), size=dist.get_world_size())
    finally:
        dist.destroy_process_group()
