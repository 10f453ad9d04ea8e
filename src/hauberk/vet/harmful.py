"""Names that are known to run code, open files or reach the network when a pickle calls them."""

from __future__ import annotations

import re


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


# Modules of which no name belongs in a model.
_MODULES = words(
    """
    os posix nt ntpath posixpath subprocess _posixsubprocess sys socket _socket ssl shutil ctypes
    _ctypes importlib imp zipimport pkgutil runpy code codeop pty commands popen2 pickle _pickle
    cPickle pickletools marshal shelve dbm webbrowser antigravity http httplib urllib urllib2
    urllib3 requests aiohttp httpx websocket websockets paramiko fabric ftplib smtplib telnetlib
    poplib imaplib nntplib xmlrpc xmlrpclib socketserver SocketServer SimpleHTTPServer
    BaseHTTPServer asyncio concurrent multiprocessing signal platform bdb pdb trace profile
    cProfile timeit doctest pydoc venv ensurepip pip setuptools distutils pkg_resources idlelib
    lib2to3 unittest site sitecustomize sysconfig cffi _cffi_backend tempfile fileinput linecache
    tarfile zipfile glob compileall py_compile gc atexit faulthandler rlcompleter cmd sched
    _osx_support _aix_support _pyrepl getpass crypt mmap resource fcntl syslog winreg _winreg
    msvcrt _winapi win32api win32com sqlite3 _sqlite3 tkinter turtle wsgiref cgi cgitb mailcap
    optparse_gui nturl2path readline pyautogui pexpect sh plumbum invoke psutil jsonpickle yaml
    ruamel execnet
    rpyc Pyro4 celery IPython jupyter ipykernel streamlit gradio flask django tornado
    py_mini_racer js2py execjs numba.pycc boto3 botocore
    """
)
# Packages where some names do harm: the package and a pattern of the names behind it.
_INSIDE = {
    "builtins": r"eval|exec|execfile|compile|open|file|__import__|apply|globals|locals|vars|input"
    r"|raw_input|breakpoint|exit|quit|help|delattr|setattr|reload|memoryview|dir|__build_class__"
    r"|__loader__|license|copyright|credits",
    "io": r"open|open_code|FileIO|os",
    "_io": r"open|open_code|FileIO",
    "threading": r"Thread|Timer|_start_new_thread|_sys",
    "_thread": r"start_new_thread|exit|interrupt_main",
    "thread": r"start_new_thread",
    "inspect": r".*(os|sys|importlib|linecache)\\..*",
    "operator": r"attrgetter|methodcaller|call",
    "functools": r"cached_property|singledispatch|_make_key",
    "types": r"CodeType|FunctionType|LambdaType|ModuleType|MethodType|new_class",
    "new": r"code|function|module|instancemethod",
    "codecs": r"open|EncodedFile|StreamReaderWriter",
    "logging": r"config(\..*)?|FileHandler|handlers(\..*)?|basicConfig",
    "logging.config": r".*",
    "logging.handlers": r".*",
    "uuid": r"_\w*(command|popen|getter|get_node)\w*|getnode",
    "pathlib": r"(?!_local\.)\w+\..*",
    "dill": r"loads?|_dill\.loads?|load_session|source\..*|load_module",
    "dill._dill": r"loads?|load_session|_import_module|_getattribute|_eval_repr|_create_filehandle",
    "dill.source": r".*",
    "cloudpickle": r"loads?",
    "joblib": r"load|numpy_pickle\.load|parallel\..*",
    "joblib.numpy_pickle": r"load\w*|_unpickle|read_zfile|open",
    "torch": r"load|hub(\..*)?|jit(\.(?!_pickle\.).*)?|compile|_inductor.*|package.*|save"
    r"|utils\.(cpp_extension|_config_module|bottleneck|collect_env|data\.datapipes).*|from_file"
    r"|ops(\..*)?|classes(\..*)?|distributed\.(rpc|elastic|run|launch).*|multiprocessing(\..*)?"
    r"|os|sys|subprocess|importlib|.*load_library.*",
    "torch.hub": r".*",
    "torch.jit": r"load|save|script|trace|os|unsupported_tensor_ops\..*|_script\..*",
    "torch.jit.unsupported_tensor_ops": r".*",
    "torch.serialization": r"load|save|_load|_legacy_load|os|io|tarfile|_open_\w+|pickle\w*",
    "torch.storage": r"io|torch",
    "torch.package": r".*",
    "torch.fx.graph_module": r".*(reduce|exec|eval|deserialize|forward_from_src).*",
    "torch.fx.experimental.symbolic_shapes": r".*(Eval|Guards|eval).*",
    "torch.onnx": r".*",
    "torch.classes": r".*",
    "torch.ops": r".*",
    "numpy": r"load|save|savez\w*|savetxt|loadtxt|genfromtxt|fromfile|memmap|fromregex|f2py(\..*)?"
    r"|testing(\..*)?|distutils(\..*)?|lib(\..*)?|DataSource|ctypeslib(\..*)?|fromfunction|fromiter"
    r"|vectorize|apply_along_axis|apply_over_axes|piecewise|frompyfunc|show_config|os|sys",
    "pandas": r"read_\w+|eval|io(\..*)?|HDFStore|ExcelFile|ExcelWriter|util(\..*)?",
    "pandas.core.computation.eval": r".*",
    "pandas.core.computation.expr": r".*",
    "sklearn.externals": r".*load.*",
    "sklearn.externals.joblib": r"load|.*Parallel.*",
    "sklearn.datasets": r"(fetch|load)_.*",
    "keras": r".*(load|save|get_file|deserialize|unsafe).*",
    "keras.models": r"(load|save)_.*",
    "tensorflow": r"io(\..*)?|.*(load|save|read_file|write_file|py_function|numpy_function).*",
    "transformers": r".*(from_pretrained|pipeline|dynamic_module).*",
    "transformers.dynamic_module_utils": r".*",
    "huggingface_hub": r".*",
    "cloudpickle.cloudpickle": r"loads?|subimport|dynamic_subimport",
    "_operator": r"attrgetter|methodcaller|call",
    "copyreg": r"add_extension|pickle|dispatch_table.*",
    "contextlib": r".*",
    "ast": r"parse|.*Visitor|.*Transformer",
    "ctypeslib": r".*",
    "_rebuild_tensor": r".*",
    "jinja2": r".*",
    "mlflow": r".*(load|run|exec).*",
    "fsspec": r".*",
    "hydra": r".*",
    "hydra.utils": r".*",
    "smart_open": r".*",
}
_PREFIXES = (
    "torch._inductor",
    "torch._dynamo",
    "torch._export",
    "torch.utils.cpp_extension",
    "torch.utils._config_module",
    "torch.utils.bottleneck",
    "torch.utils.collect_env",
    "torch.utils.data.datapipes",
    "torch.utils.model_dump",
    "torch.distributed.rpc",
    "torch.distributed.elastic",
    "torch.distributed.run",
    "torch.distributed.launch",
    "torch.multiprocessing",
    "torch.testing",
    "torch.backends",
    "torch.package",
    "torch.export",
    "numpy.testing",
    "numpy.f2py",
    "numpy.distutils",
    "numpy.lib.npyio",
    "numpy.lib._npyio_impl",
    "numpy.lib.format",
    "numpy.ctypeslib",
    "pandas.io",
    "pandas.compat.pickle",
    "scipy.io",
    "scipy._lib._ccallback",
    "sklearn.utils._testing",
    "keras.src.utils",
    "keras.src.saving",
    "keras.utils",
    "keras.saving",
    "keras.config",
    "tensorflow.python.platform",
    "tensorflow.python.lib.io",
    "tensorflow.python.ops.io_ops",
    "tensorflow.python.saved_model",
    "tensorflow.python.keras.saving",
    "joblib.externals.loky",
    "joblib.parallel",
    "pydoc_data",
    "pip._",
)
# Parts of a dotted name that lead from an object to the interpreter.
_INNER = re.compile(r"__(?!version__|init__\Z)\w+__")
_PARTS = re.compile(
    r"system|popen\w*|eval|exec\w*|spawn\w*|os|sys|subprocess"
    r"|modules|f_globals|f_builtins|gi_frame|func_globals|loads?|import_module|check_output"
    r"|check_call|call"
)


def is_harmful(module: str, name: str) -> bool:
    """Whether ``module.name`` is known to do harm; unknown names are not harmful, only unknown."""
    module, name = module.strip(), name.strip()
    root = module.partition(".")[0]
    if root in _MODULES or module in _MODULES:
        return True
    if module.startswith(_PREFIXES):
        return True
    full = f"{module}.{name}"
    while module:
        pattern = _INSIDE.get(module)
        if pattern and re.fullmatch(pattern, full[len(module) + 1 :]):
            return True
        module = module.rpartition(".")[0]
    parts = name.split(".")
    return any(_PARTS.fullmatch(one) or (len(parts) > 1 and _INNER.fullmatch(one)) for one in parts)
