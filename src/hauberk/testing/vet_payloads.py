"""Payloads in plain pickles, from the obvious to the contrived."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from hauberk.testing.vet_pieces import Sample, call, legacy_torch, pickled, text, torch_zip

if TYPE_CHECKING:
    from collections.abc import Iterator


def pickles() -> Iterator[Sample]:
    """Payloads in plain pickles, from the obvious to the contrived."""
    os_system = call("os", "system")

    def bad(name: str, data: bytes) -> Sample:
        return Sample(f"pickle-{name}.pkl", data, malicious=True)

    for module, name in (
        ("os", "system"), ("posix", "system"), ("nt", "system"), ("builtins", "eval"),
        ("builtins", "exec"), ("builtins", "__import__"), ("__builtin__", "execfile"),
        ("subprocess", "Popen"), ("subprocess", "check_output"), ("runpy", "run_path"),
        ("importlib", "import_module"), ("pty", "spawn"), ("code", "InteractiveInterpreter"),
        ("webbrowser", "open"), ("ctypes", "CDLL"), ("shutil", "rmtree"), ("socket", "socket"),
        ("urllib.request", "urlopen"), ("torch.hub", "load"), ("torch", "load"),
        ("torch.utils.cpp_extension", "load_inline"), ("numpy", "load"),
        ("numpy.testing._private.utils", "runstring"), ("numpy.f2py.crackfortran", "getlincoef"),
        ("pandas", "read_pickle"), ("pickle", "loads"), ("dill", "loads"), ("joblib", "load"),
        ("marshal", "loads"), ("idlelib.pyshell", "ModifiedInterpreter.runcode"),
        ("timeit", "timeit"), ("cProfile", "run"), ("doctest", "debug_script"),
        ("uuid", "_get_command_stdout"), ("_osx_support", "_find_executable"),
        ("logging.config", "fileConfig"), ("asyncio", "create_subprocess_shell"),
        ("operator", "methodcaller"), ("pip", "main"), ("ensurepip", "_run_pip"),
        ("_pyrepl.pager", "pipe_pager"), ("lib2to3.pgen2.pgen", "ParserGenerator"),
        ("transformers.dynamic_module_utils", "get_class_from_dynamic_module"),
        ("torch._inductor.codecache", "compile_file"), ("imaplib", "IMAP4_stream"),
        ("multiprocessing.util", "spawnv_passfds"), ("linecache", "getlines"),
        ("collections", "abc.sys.modules"), ("torch.serialization", "os.system"),
    ):  # fmt: skip
        yield bad(f"{module}.{name}", pickled(call(module, name)))
    yield bad("protocol-0", b"cos\nsystem\n(S'echo vetted'\ntR.")
    yield bad("stack-global", pickled(text("os") + text("system") + b"\x93(" + text("x") + b"tR"))
    memo = text("os") + b"\x94" + text("system") + b"\x94" + b"00" + b"h\0h\1\x93(" + text("x")
    yield bad("memo", pickled(memo + b"tR"))
    shuffled = (
        text("system")
        + b"q\x07"
        + text("torch")
        + b"q\x05"
        + text("os")
        + b"q\x05000h\x05h\x07\x93"
    )
    yield bad("memo-overwritten", pickled(shuffled + b"(" + text("x") + b"tR"))
    long_memo = (
        text("os") + b"r\x10\x27\0\0" + text("system") + b"p777\n00j\x10\x27\0\0g777\n\x93)R"
    )
    yield bad("memo-long-and-line", pickled(long_memo))
    duplicated = text("posix") + b"2\x85" + b"00" + text("posix") + text("system") + b"\x93)R"
    yield bad("dup-and-pop", pickled(duplicated))
    yield bad("inst", b"(S'echo vetted'\nios\nsystem\n.")
    yield bad("obj", pickled(b"(cos\nsystem\n" + text("echo vetted") + b"o"))
    yield bad("newobj", pickled(b"csubprocess\nPopen\n" + text("x") + b"\x85\x81"))
    yield bad("newobj-ex", pickled(b"csubprocess\nPopen\n" + text("x") + b"\x85}\x92"))
    yield bad("build", pickled(b"cos\nsystem\n}" + text("a") + b"Nsb"))
    yield bad("ext", pickled(b"\x82\x01" + b"(" + text("x") + b"tR"))
    yield bad("ext4", pickled(b"\x84\x01\0\0\0" + b"(" + text("x") + b"tR"))
    yield bad("second", pickled(b"N") + pickled(os_system))
    yield bad("third", pickled(b"N") + pickled(b"]") + pickled(os_system))
    yield bad("broken-tail", pickled(os_system)[:-1] + b"\xff\xff")
    yield bad("no-stop", pickled(os_system)[:-1])
    yield bad("length-lies", pickled(os_system)[:-1] + b"X\xff\xff\xff\x7fa.")
    yield bad("wrong-protocol", b"\x80\x7f" + os_system + b".")
    yield bad("comments", pickled(b"N0" * 50_000 + os_system))
    yield bad(
        "late", pickled(b"B" + struct.pack("<I", 3 << 20) + bytes(3 << 20) + b"0" + os_system)
    )
    yield bad("frames-lie", b"\x80\x04\x95" + struct.pack("<Q", 3) + os_system + b".")
    yield bad(
        "getattr",
        pickled(b"cbuiltins\ngetattr\n" + b"cbuiltins\nint\n" + text("__class__") + b"\x86R"),
    )
    yield bad(
        "getattr-import",
        pickled(
            b"cbuiltins\ngetattr\n("
            + call("builtins", "__import__", b"os")
            + text("system")
            + b"tR"
            + b"("
            + text("x")
            + b"tR"
        ),
    )
    yield bad("partial", pickled(b"cfunctools\npartial\n(cos\nsystem\n" + text("x") + b"tR)R"))
    yield bad("inside-dict", pickled(b"}(" + text("weights") + os_system + b"u"))
    yield bad(
        "dotted", pickled(text("collections") + text("OrderedDict.__init__.__globals__") + b"\x93")
    )
    yield bad(
        "dotted-import",
        pickled(text("numpy") + text("testing.measure") + b"\x93(" + text("x") + b"tR"),
    )
    yield bad(
        "module-state",
        (
            b"\x80\x04Vtorch\nV_utils\n\x93}Vcache\nVbuiltins\nsb0Vtorch._utils\nVcache\n\x93Vexec\n\x93Vx\n\x85R."
        ),
    )
    yield bad(
        "nested-loads",
        pickled(
            b"cpickle\nloads\nC" + bytes([len(pickled(os_system))]) + pickled(os_system) + b"\x85R"
        ),
    )
    inner = torch_zip(pickled(os_system))
    yield bad(
        "load-from-bytes",
        pickled(
            b"ctorch.storage\n_load_from_bytes\nB"
            + struct.pack("<I", len(inner))
            + inner
            + b"\x85R"
        ),
    )
    legacy_inside = legacy_torch(pickled(os_system, 2)).decode("latin-1").encode()
    yield bad(
        "load-from-text",
        b"\x80\x02ctorch.storage\n_load_from_bytes\nc_codecs\nencode\nX"
        + struct.pack("<I", len(legacy_inside))
        + legacy_inside
        + text("latin1")
        + b"\x86R\x85R.",
    )
    yield bad(
        "dill-code",
        pickled(
            b"cdill._dill\n_create_function\n(cdill._dill\n_create_code\n("
            + text("os")
            + text("system")
            + b"tR}tR"
        ),
    )
    yield bad("unknown-loader", pickled(call("evil_package.loader", "Loader")))
    yield bad("text-before", pickled(text("a" * 200) + b"0" + os_system))
    yield bad("spaces", b"cos \nsystem\n(S'x'\ntR.")
    yield bad("persistent", pickled(b"(" + text("storage") + os_system + b"tQ"))
    yield bad("fuzzed-names", pickled(b"cbuiltins\nev\xc3\xa4l\n" + b"(" + text("x") + b"tR"))
