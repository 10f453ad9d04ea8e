"""The allow-list: what it lets through, and that nothing slips in by a longer name."""

import pytest

from hauberk.vet.names import _INERT, _KNOWN, Trust, judge


@pytest.mark.parametrize(
    ("module", "name", "trust"),
    [
        ("collections", "OrderedDict", Trust.INERT),
        ("torch._utils", "_rebuild_tensor_v2", Trust.INERT),
        ("__builtin__", "set", Trust.INERT),
        ("__builtin__", "unicode", Trust.INERT),
        ("sklearn.linear_model._logistic", "LogisticRegression", Trust.KNOWN),
        ("sklearn.linear_model.logistic", "LogisticRegression", Trust.KNOWN),
        ("torch.nn.modules.linear", "Linear", Trust.KNOWN),
        ("__torch__.model", "Net", Trust.KNOWN),
        ("sklearn.tree._tree", "Tree", Trust.KNOWN),
        ("__main__", "Net", Trust.UNKNOWN),
        ("sklearn.ensemble._forest", "Parallel", Trust.UNKNOWN),
        ("torch.nn.modules.linear", "Linear.forward", Trust.UNKNOWN),
        ("builtins", "getattr", Trust.UNKNOWN),
        ("builtins", "map", Trust.UNKNOWN),
        ("os", "system", Trust.HARMFUL),
        ("os.path", "join", Trust.HARMFUL),
        ("builtins", "eval", Trust.HARMFUL),
        ("__builtin__", "eval", Trust.HARMFUL),
        (" os ", "system", Trust.HARMFUL),
        ("collections", "OrderedDict.__init__.__globals__", Trust.HARMFUL),
        ("torch.nn.modules.linear", "Linear.__init__.__globals__", Trust.HARMFUL),
        ("numpy", "testing.measure", Trust.HARMFUL),
        ("evil", "sub.system", Trust.HARMFUL),
        ("sklearn.datasets", "fetch_openml", Trust.HARMFUL),
        ("keras.utils", "get_file", Trust.HARMFUL),
    ],
)
def test_a_name_is_trusted_as_far_as_stated(module: str, name: str, trust: Trust) -> None:
    assert judge(module, name) is trust


def test_no_listed_name_is_known_to_do_harm() -> None:
    from hauberk.vet.harmful import is_harmful

    assert _INERT < _KNOWN
    assert [pair for pair in _KNOWN if is_harmful(*pair)] == []


@pytest.mark.parametrize("suffix", [".__globals__", ".__class__", ".system"])
def test_what_hangs_on_a_listed_name_is_not_listed(suffix: str) -> None:
    assert {judge(module, name + suffix) for module, name in _KNOWN} == {Trust.HARMFUL}
