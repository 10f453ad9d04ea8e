"""Who may be called by a pickle: an allow-list; what is not on it is never clean.

Three circles. *Inert* names do no harm in any order, with any arguments and states: files that
use no other name need no further look. *Known* names are harmless if everything that reaches them
is. *Harmful* ones run code, open files or reach the network; naming them only sharpens the
outcome from review to malicious, since every other name is for review anyway.
"""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache

from hauberk.vet.harmful import is_harmful


class Trust(IntEnum):
    """How far a name is trusted."""

    INERT = 0
    KNOWN = 1
    UNKNOWN = 2
    HARMFUL = 3


def _names(text: str) -> frozenset[tuple[str, str]]:
    """Lines of a module and its names."""
    lines = (line.split() for line in text.strip().splitlines())
    return frozenset((module, name) for module, *names in lines for name in names)


_INERT = _names("""
collections OrderedDict
builtins set frozenset list dict tuple int float bool str bytes bytearray complex object slice \
range
_codecs encode
torch._utils _rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter \
_rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_tensor \
_rebuild_meta_tensor_no_storage  _rebuild_device_tensor_from_numpy \
_rebuild_device_tensor_from_cpu_tensor _rebuild_nested_tensor  _rebuild_sparse_csr_tensor
torch Size device dtype Tensor FloatStorage DoubleStorage HalfStorage BFloat16Storage \
LongStorage  IntStorage ShortStorage CharStorage ByteStorage BoolStorage ComplexFloatStorage \
ComplexDoubleStorage  QInt8Storage QUInt8Storage QInt32Storage QUInt4x2Storage QUInt2x4Storage \
Generator Event  float16 float32 float64 half float double bfloat16 int8 int16 int32 int64 \
uint8 uint16 uint32 uint64  bool long int short complex32 complex64 complex128 cfloat cdouble \
qint8 quint8 qint32  float8_e4m3fn float8_e5m2 float8_e4m3fnuz float8_e5m2fnuz strided \
sparse_coo sparse_csr  per_tensor_affine per_channel_affine per_tensor_symmetric \
contiguous_format channels_last  preserve_format
torch.cuda FloatTensor LongTensor HalfTensor FloatStorage HalfStorage LongStorage
torch.storage UntypedStorage TypedStorage
torch.nn.parameter Parameter Buffer UninitializedParameter
torch.serialization _get_layout
torch.random Generator
numpy ndarray dtype generic matrix bool bool_ int8 int16 int32 int64 uint8 uint16 uint32 \
uint64 intc  intp longlong ulonglong uintc uintp float16 float32 float64 longdouble float128 \
complex64 complex128  clongdouble str_ bytes_ void object_ datetime64 timedelta64 number \
integer signedinteger  unsignedinteger floating complexfloating inexact flexible character \
half single double float_ int_  unicode_ string_ long ulong byte ubyte short ushort
numpy.core.multiarray _reconstruct scalar
numpy._core.multiarray _reconstruct scalar
numpy.core.numeric _frombuffer
numpy._core.numeric _frombuffer
numpy.dtypes Float64DType Float32DType Int64DType Int32DType BoolDType UInt8DType Float16DType \
Int8DType Int16DType UInt16DType UInt32DType UInt64DType ObjectDType StrDType BytesDType \
VoidDType
""")

_KNOWN = _INERT | _names("""
collections defaultdict deque Counter ChainMap UserDict UserList UserString
builtins type reversed enumerate zip NotImplemented Ellipsis property staticmethod classmethod \
ValueError KeyError TypeError RuntimeError IndexError Exception AttributeError \
NotImplementedError  min max sum abs len sorted round any all
copyreg _reconstructor __newobj__ __newobj_ex__
functools partial
operator itemgetter add sub mul truediv neg eq ne lt le gt ge
datetime datetime date time timedelta timezone
zoneinfo ZoneInfo._unpickle ZoneInfo
decimal Decimal
fractions Fraction
uuid UUID SafeUUID
pathlib PosixPath WindowsPath PurePosixPath PureWindowsPath Path PurePath
pathlib._local PosixPath WindowsPath PurePosixPath PureWindowsPath Path PurePath
ipaddress IPv4Address IPv6Address IPv4Network IPv6Network
types SimpleNamespace NoneType
argparse Namespace
array array _array_reconstructor
random Random
re _compile
_sre compile
logging getLogger
string Template
math sqrt exp log log2 log10 sin cos tan tanh floor ceil
numpy exp log log1p expm1 log2 log10 sqrt cbrt square abs absolute sin cos tan tanh sinh cosh \
arcsin  arccos arctan sign maximum minimum mean median sum prod min max std var clip round \
rint floor ceil  isnan isfinite nan_to_num add subtract multiply divide power where \
concatenate reshape ravel array  asarray zeros ones arange linspace dot recarray record
numpy._core._multiarray_umath exp log sqrt
numpy.core._multiarray_umath exp log sqrt
numpy.rec recarray record
numpy.ma MaskedArray
numpy.ma.core _mareconstruct MaskedArray MaskedConstant
numpy.matrixlib.defmatrix matrix
numpy.core.records recarray record
numpy.random RandomState Generator
numpy.random._pickle __randomstate_ctor __generator_ctor __bit_generator_ctor
numpy.random._mt19937 MT19937 __pyx_unpickle_MT19937
numpy.random._pcg64 PCG64 PCG64DXSM
numpy.random._philox Philox
numpy.random._sfc64 SFC64
numpy.random.bit_generator SeedSequence __pyx_unpickle_SeedSequence
numpy.random.mtrand RandomState
numpy.polynomial.polynomial Polynomial
joblib.numpy_pickle NumpyArrayWrapper NDArrayWrapper ZNDArrayWrapper
sklearn.externals.joblib.numpy_pickle NumpyArrayWrapper NDArrayWrapper ZNDArrayWrapper
joblib.numpy_pickle_compat NDArrayWrapper ZNDArrayWrapper
torch._tensor _rebuild_from_type_v2 Tensor
torch._utils _rebuild_wrapper_subclass _rebuild_xla_tensor _rebuild_mkldnn_tensor
torch.storage _load_from_bytes
torch.utils._pytree tree_map
torch ScriptObject
dill._dill _create_array _load_type
dill.dill _create_array _load_type
torch.utils.data.dataset TensorDataset Subset ConcatDataset
sklearn.feature_selection._univariate_selection f_classif f_regression f_oneway chi2 r_regression
sklearn.feature_selection._mutual_info mutual_info_classif mutual_info_regression
scipy._lib.array_api_compat.numpy._aliases asarray
torch.jit._pickle build_intlist build_floatlist build_doublelist build_boollist \
build_tensorlist  build_tensor_from_id restore_type_tag
torch.nn.functional relu gelu silu softmax log_softmax sigmoid tanh leaky_relu elu softplus \
mish  hardswish relu6 selu cross_entropy mse_loss nll_loss binary_cross_entropy
torch relu tanh sigmoid softmax
torch.optim.lr_scheduler LambdaLR StepLR MultiStepLR CosineAnnealingLR ReduceLROnPlateau \
OneCycleLR  ExponentialLR CyclicLR CosineAnnealingWarmRestarts LinearLR SequentialLR
sklearn.tree._tree Tree
sklearn.neighbors._kd_tree newObj KDTree KDTree64 KDTree32
sklearn.neighbors._ball_tree newObj BallTree BallTree64 BallTree32
sklearn.metrics._dist_metrics newObj EuclideanDistance64 EuclideanDistance
sklearn.preprocessing._function_transformer _identity
sklearn.preprocessing.data _identity
sklearn.utils.deprecation deprecated
sklearn.utils Bunch
sklearn.utils._bunch Bunch
scipy.interpolate interp1d
scipy.special expit logit softmax
scipy.special._ufuncs expit logit
scipy.stats._distn_infrastructure rv_frozen rv_continuous_frozen
pandas._libs.internals _unpickle_block BlockPlacement
pandas._libs.arrays __pyx_unpickle_NDArrayBacked
pandas._libs.tslibs.timestamps _unpickle_timestamp
pandas._libs.tslibs.timedeltas _timedelta_unpickle
pandas._libs.tslibs.offsets __pyx_unpickle_BaseOffset
pandas.core.indexes.base _new_Index
pandas.core.indexes.datetimes _new_DatetimeIndex
pandas.core.internals.blocks new_block
pandas._libs.missing NAType
xgboost.core Booster Objective
lightgbm.basic Booster
transformers.trainer_utils IntervalStrategy SchedulerType HubStrategy SaveStrategy
transformers.training_args TrainingArguments OptimizerNames
transformers.trainer_pt_utils AcceleratorConfig
accelerate.state PartialState DistributedType
accelerate.utils.dataclasses DistributedType DeepSpeedPlugin
""")

# Classes, by the capital that starts their name, of packages whose constructors keep what they get.
# Patterns are compiled when the first name needs them: most files need none.
_CLASSES = r"""(?x)
    torch\.nn\.modules(\.\w+)* | torch\.optim(\.\w+)? | torch\.ao\.nn(\.\w+)*
  | torch\.ao\.quantization\.(observer|fake_quantize|qconfig|stubs)
  | torch\.nn\.(quantized|intrinsic|qat|quantizable)(\.\w+)*
  | torchvision\.(models|ops|transforms)(\.\w+)*
  | sklearn\.(base|calibration|cluster|compose|covariance|cross_decomposition|decomposition
      |discriminant_analysis|dummy|ensemble|feature_extraction|feature_selection
      |gaussian_process|impute|isotonic|kernel_approximation|kernel_ridge|linear_model|manifold
      |mixture|model_selection|multiclass|multioutput|naive_bayes|neighbors|neural_network
      |pipeline|preprocessing|random_projection|semi_supervised|svm|tree|loss|_loss
      |_losses|utils\._tags|utils\._metadata_requests|metrics\._scorer)(\.\w+)*
  | scipy\.sparse(\._?(csr|csc|coo|bsr|dia|dok|lil|base|arrays))? | scipy\.stats\._\w+
  | scipy\.interpolate(\.\w+)*
  | pandas\.core\.(frame|series|generic|flags|arrays(\.\w+)*|indexes(\.\w+)*|dtypes(\.\w+)*
      |internals(\.\w+)*)
  | pandas(\.arrays|\._libs\.tslibs\.\w+)?
  | xgboost\.sklearn | lightgbm\.sklearn | catboost\.core
  | transformers\.models(\.\w+)* | transformers\.(generation\.)?configuration_utils
  | tokenizers(\.\w+)* | omegaconf(\.\w+)*
"""
_CLASS_NAME = re.compile(r"_{0,2}[A-Z][A-Za-z0-9_]*\Z")
# Classes imported into those packages that do more than keep what they get.
_NOT_PLAIN = re.compile(
    r"(Parallel|Memory|Path|Popen|Thread\w*|Process\w*|\w*Loader|\w*Reader|\w*Writer|Lambda"
    r"|\w*File\w*|HDFStore|ExcelFile|Callable|Any|Template|Sandbox\w*|\w*Environment)\Z"
)
# Families whose classes begin with a small letter.
_SMALL = (
    r"scipy\.sparse(\._?\w+)?\.(csr|csc|coo|bsr|dia|dok|lil)_(matrix|array)"
    r"|scipy\.stats\._(continuous|discrete)_distns\.\w+_gen"
)
_CYTHON = re.compile(r"__pyx_unpickle_[A-Za-z0-9_]+\Z")
_CYTHON_MODULES = re.compile(r"(sklearn|scipy|pandas|numpy)(\._?\w+)*\Z")

# What Python 2 called them; the unpickler translates the same.
_OLD = {
    "__builtin__": "builtins",
    "copy_reg": "copyreg",
    "UserDict": "collections",
    "__builtins__": "builtins",
    "exceptions": "builtins",
}
_OLD_NAMES = {"unicode": "str", "long": "int", "xrange": "range", "basestring": "str"}


def name_text(raw: bytes) -> str:
    """A module or a name as text, whatever bytes it holds."""
    return raw.decode("utf-8", "backslashreplace")


@lru_cache(maxsize=4096)
def judge(module: str, name: str) -> Trust:
    """How far the callable ``module.name`` is trusted.

    A dotted name reaches through attributes and is trusted only where it is listed whole.
    """
    module = _OLD.get(module, module)
    if module == "builtins":
        name = _OLD_NAMES.get(name, name)
    pair = (module, name)
    if pair in _KNOWN:
        return Trust.INERT if pair in _INERT else Trust.KNOWN
    if is_harmful(module, name):
        return Trust.HARMFUL
    return Trust.KNOWN if _by_pattern(module, name) else Trust.UNKNOWN


def _by_pattern(module: str, name: str) -> bool:
    """Whether a name is one of a family that is trusted as a whole."""
    if module == "__torch__" or module.startswith("__torch__."):
        return True  # TorchScript's own types; no Python module has that name
    if re.fullmatch(_SMALL, f"{module}.{name}"):
        return True
    if _CYTHON.match(name) and _CYTHON_MODULES.match(module):
        return True
    plain_class = _CLASS_NAME.match(name) and not _NOT_PLAIN.match(name)
    return bool(plain_class and re.fullmatch(_CLASSES, module))
