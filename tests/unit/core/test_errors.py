"""Errors: one tree, an exit code each, and a hint that names the nearest."""

import pytest

from hauberk.core import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.HauberkError, 3),
        (errors.UserError, 2),
        (errors.ConfigError, 2),
        (errors.DataError, 2),
        (errors.ModelFormatError, 2),
        (errors.EnvironmentFault, 2),
        (errors.Refused, 1),
        (errors.Untrusted, 1),
        (errors.Denied, 1),
        (errors.NoConsent, 1),
    ],
)
def test_exit_codes(kind: type[errors.HauberkError], code: int) -> None:
    error = kind("what", where="here", hint="next")
    assert error.exit_code == code
    assert str(error) == "here: what"
    assert error.hint == "next"
    assert str(kind("what")) == "what"


def test_the_docstring_draws_the_whole_tree() -> None:
    kinds = [v for v in vars(errors).values() if isinstance(v, type)]
    assert len(kinds) >= 10
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds)


def test_unknown_names_suggest_the_nearest() -> None:
    assert errors.UnknownNameError("pgdd", ["fgsm", "pgd"], kind="attack").hint == (
        "did you mean 'pgd'?"
    )
    assert errors.UnknownNameError("zz", ["b", "a"], kind="x").hint == "known: a, b"
    assert errors.UnknownNameError("zz", [], kind="x").hint == "known: none"
