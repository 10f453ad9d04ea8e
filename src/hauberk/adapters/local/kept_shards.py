"""Finished shards in a folder, so that work that was killed goes on from them."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from hauberk.adapters.local.files import make_folder, read_file, write_file
from hauberk.core.digest import digest_json
from hauberk.core.ports import Shard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hauberk.core.ports import Work

_NAME = re.compile(r"(\d{1,15})-(\d{1,15})\.shard\Z")
_MOST = 1 << 30


@dataclass(frozen=True)
class KeptShards:
    """The results of one piece of work; each is written whole or not at all."""

    folder: Path

    @classmethod
    def of(cls, work: Work, home: Path) -> KeptShards:
        """Those under ``home`` of exactly this work; of any other nothing is found."""
        digest = digest_json(msgspec.to_builtins(work)).partition(":")[2]
        return cls(home / digest[:32])

    def keep(self, shard: Shard, result: bytes) -> None:
        """Write one result.

        Raises:
            EnvironmentFault: if the disk is full or refuses.
        """
        make_folder(self.folder)
        write_file(self.folder / f"{shard.start}-{shard.stop}.shard", result)

    def read(self) -> Iterator[tuple[Shard, bytes]]:
        """What was kept, in the order of the samples."""
        if not self.folder.is_dir():
            return
        names = [found for path in self.folder.iterdir() if (found := _NAME.match(path.name))]
        shards = {Shard(int(name[1]), int(name[2])): name[0] for name in names}
        for shard in sorted(shards):
            result = read_file(self.folder / shards[shard], limit=_MOST)
            if result is not None:
                yield shard, result

    def drop(self) -> None:
        """Forget all of it, once the whole is told."""
        shutil.rmtree(self.folder, ignore_errors=True)
