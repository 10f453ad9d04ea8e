from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from hauberk.adapters.data.property_file import read_properties
from hauberk.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
[[property]]
name = "low is never high"
low = [0.0, 0.25]
high = [0.5, 0.5]
above = [2, 0]

[[property]]
name = "all"
low = 0.0
high = 1.0
always = 1
"""


def test_properties_are_read(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text(GOOD)
    first, second = read_properties(str(tmp_path / "p.toml"), (2,), 3)
    assert first.name == "low is never high"
    assert first.low.tolist() == [0.0, 0.25]
    assert first.rows.tolist() == [[-1.0, 0.0, 1.0]]
    assert second.high.tolist() == [1.0, 1.0]
    assert np.array_equal(second.rows, [[-1, 1, 0], [0, 1, -1]])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[0.5, 0.5]", "[0.5, 0.5, 0.5]"),
        ("[0.5, 0.5]", "[0.5, nan]"),
        ("[0.5, 0.5]", "[0.5, 0.1]"),
        ("[0.5, 0.5]", '"wide"'),
        ("above = [2, 0]", "above = [2, 3]"),
        ("above = [2, 0]", "above = [2, 2]"),
        ("above = [2, 0]", ""),
        ("above = [2, 0]", "above = [2, 0]\nalways = 1"),
        ("above = [2, 0]", "always = -1"),
        ("above = [2, 0]", "always = 1\nseen = true"),
        ("[[property]]", "[[claim]]"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, old: str, new: str) -> None:
    (tmp_path / "p.toml").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError):
        read_properties(str(tmp_path / "p.toml"), (2,), 3)
