"""The bytes of a pickle: which opcodes take what, and a pattern that passes over the plain ones.

Source: CPython's ``pickletools`` describes the opcodes of protocols 0 to 5.
"""

from __future__ import annotations

import re
from struct import Struct

# Opcodes with a length in front of their data: how the length is written.
LENGTHS = {
    ord("X"): Struct("<I"),  # BINUNICODE
    ord("B"): Struct("<I"),  # BINBYTES
    ord("T"): Struct("<i"),  # BINSTRING
    0x8B: Struct("<i"),  # LONG4
    ord("U"): Struct("<B"),  # SHORT_BINSTRING
    ord("C"): Struct("<B"),  # SHORT_BINBYTES
    0x8A: Struct("<B"),  # LONG1
    0x8C: Struct("<B"),  # SHORT_BINUNICODE
    0x8D: Struct("<Q"),  # BINUNICODE8
    0x8E: Struct("<Q"),  # BINBYTES8
    0x96: Struct("<Q"),  # BYTEARRAY8
}
TEXTS = frozenset({ord("X"), ord("T"), ord("U"), 0x8C, 0x8D})
STOP, GLOBAL, INST, STACK_GLOBAL = ord("."), ord("c"), ord("i"), 0x93
LINES = frozenset(b"IFLpgPSV")
EXTENSIONS = {0x82: 1, 0x83: 2, 0x84: 4}
MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # PyTorch's legacy files start so

# Runs of opcodes that name nothing and hold no text; possessive, so that nothing is remembered.
PLAIN = re.compile(
    rb"(?s)(?:[(012NRbae}dl\]osut)\x81\x85-\x89Q\x8f-\x92\x94\x97\x98]"
    rb"|[Kqh\x80].|M..|[Jrj]....|[G\x95].{8}|\x8a(?:\x00|\x01.|\x02..|\x03...)"
    rb"|[IFLpgPSV][^\n]{0,4096}\n)++"
)
