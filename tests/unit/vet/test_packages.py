"""Lists of packages: nothing is clean that is unknown, old, loose, mistaken or taken back."""

import json
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hauberk.vet.advisory import DAY, Advisory, Known, Release, Span, modified, read_osv
from hauberk.vet.finding import Outcome, Vetted
from hauberk.vet.package_names import imitated
from hauberk.vet.run import vet
from hauberk.vet.source import Memory
from hauberk.vet.together import together

HASH, OTHER = "a" * 64, "b" * 64
PINNED = f"requests==2.32.4 --hash=sha256:{HASH}\n"


class Shelf:
    """An index in memory."""

    as_of = 100 * DAY

    def advisories(self, package: str, /) -> Sequence[Advisory]:
        old = Advisory(ident="PYSEC-1", package="requests", spans=(Span(fixed="2.31.0"),))
        bad = Advisory(ident="MAL-2", package="colourfool", spans=(Span(),))
        return [one for one in (old, bad) if one.package == package]

    def releases(self, package: str, /) -> Mapping[str, Release] | None:
        known = {
            "requests": {
                "2.32.4": Release(hashes=frozenset({HASH})),
                "2.30.0": Release(hashes=frozenset({HASH})),
                "2.32.0": Release(yanked=True, reason="breaks proxies"),
            },
            "colourfool": {"1.0": Release()},
            "numpy": {"2.4.0": Release(hashes=frozenset({HASH}))},
        }
        return known.get(package)


KNOWN = Known(index=Shelf(), at=101 * DAY)


def examined(text: str, name: str = "requirements.txt", known: Known = KNOWN) -> Vetted:
    return together([vet(Memory(text.encode()), name, known=known)])[0]


def rules(text: str, name: str = "requirements.txt", known: Known = KNOWN) -> set[str]:
    return {one.rule for one in examined(text, name, known).findings}


def test_a_fixed_list_that_a_fresh_index_knows_is_clean() -> None:
    text = f"# what we need\n--require-hashes\n{PINNED}numpy==2.4 \\\n    --hash=sha256:{HASH}\n"
    assert examined(text).outcome is Outcome.CLEAN
    assert examined(text).findings == ()


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (f"requests==2.30.0 --hash=sha256:{HASH}", "HB-V201"),
        ("colourfool", "HB-V201"),
        (f"requests==2.99 --hash=sha256:{HASH}", "HB-V202"),
        (f"our-own-thing==1.0 --hash=sha256:{HASH}", "HB-V202"),
        ("requests", "HB-V203"),
        ("requests>=2.32", "HB-V203"),
        ("requests==2.*", "HB-V203"),
        (f"requests==2.32.4 --hash=sha256:{OTHER}", "HB-V203"),
        ("--pre", "HB-V203"),
        ("reqeusts==2.32.4", "HB-V204"),
        ("python-requests==2.32.4", "HB-V204"),
        ("scikitlearn==1.5", "HB-V204"),
        ("sklearn", "HB-V204"),
        (f"requests==2.32.0 --hash=sha256:{HASH}", "HB-V205"),
        ("--extra-index-url https://pkgs.example.org/simple", "HB-V206"),
        ("-i http://pkgs.example.org/simple", "HB-V206"),
        ("--index-url=https://pkgs.example.org/simple", "HB-V206"),
        ("--trusted-host pkgs.example.org", "HB-V206"),
        ("-f http://pkgs.example.org/", "HB-V206"),
        ("git+https://git.example.org/a/b.git@main#egg=b", "HB-V206"),
        ("b @ http://pkgs.example.org/b-1.0.tar.gz", "HB-V206"),
        ("./wheels/b-1.0-py3-none-any.whl", "HB-V206"),
        ("-e .", "HB-V206"),
        ("-r https://pkgs.example.org/more.txt", "HB-V206"),
        ("-r more.txt", "HB-V003"),
        ("requests==2.32.4; os.system('id')", "HB-V003"),
        ("rеquests==2.32.4", "HB-V003"),
        ("--global-option=--evil", "HB-V003"),
    ],
)
def test_each_fault_has_its_rule(line: str, rule: str) -> None:
    found = examined(PINNED + line + "\n")
    assert rule in {one.rule for one in found.findings}
    assert found.outcome is not Outcome.CLEAN


def test_a_package_that_is_an_attack_makes_the_list_malicious() -> None:
    assert examined("colourfool==1.0\n").outcome is Outcome.MALICIOUS


def test_without_an_index_or_with_an_old_one_nothing_is_clean() -> None:
    assert rules(PINNED, known=Known()) == {"HB-V202"}
    assert rules(PINNED, known=Known(index=Shelf(), at=131 * DAY)) == {"HB-V202"}
    assert rules(PINNED, known=Known(index=Shelf(), at=129 * DAY)) == set()


def test_a_list_is_known_by_its_lines_too() -> None:
    assert rules("torch==2.6.0\nrequests\n", "needs.txt") >= {"HB-V203", "HB-V202"}
    assert rules("cat\ndog\nbird\n", "labels.txt") == set()
    for line in ("git+https://git.example.org/a/b", "b @ http://x.example/b.whl", "-e ."):
        assert "HB-V206" in rules(f"{line}\nnumpy\n", "needs.txt")
    assert rules("write to me @ https://x.example\nor not\n", "note.txt") == set()


def test_a_list_that_takes_in_another_one() -> None:
    first = vet(Memory(b"-r base.txt\n" + PINNED.encode()), "a/requirements.txt", known=KNOWN)
    second = vet(Memory(PINNED.encode()), "a/base.txt", known=KNOWN)
    assert [one.outcome for one in together([first, second])] == [Outcome.CLEAN] * 2
    assert together([first])[0].outcome is Outcome.REVIEW


LOCKS = {
    "poetry.lock": '[[package]]\nname = "requests"\nversion = "{v}"\nfiles = [\n'
    '    {{file = "r.whl", hash = "sha256:{h}"}},\n]\n',
    "uv.lock": 'version = 1\n[[package]]\nname = "us"\nsource = {{ virtual = "." }}\n'
    '[[package]]\nname = "requests"\nversion = "{v}"\n'
    'source = {{ registry = "https://pkgs.example.org/simple" }}\n'
    'wheels = [{{ url = "https://pkgs.example.org/r.whl", hash = "sha256:{h}" }}]\n',
    "pdm.lock": '[[package]]\nname = "requests"\nversion = "{v}"\n'
    'files = [{{file = "r.whl", hash = "sha256:{h}"}}]\n',
    "pylock.toml": 'lock-version = "1.0"\n[[packages]]\nname = "requests"\nversion = "{v}"\n'
    'wheels = [{{ name = "r.whl", hashes = {{ sha256 = "{h}" }} }}]\n',
    "Pipfile.lock": '{{"_meta": {{"sources": [{{"url": "https://pkgs.example.org"}}]}}, "default": '
    '{{"requests": {{"version": "=={v}", "hashes": ["sha256:{h}"]}}}}}}',
}


@pytest.mark.parametrize("name", LOCKS)
def test_locks(name: str) -> None:
    def filled(version: str, digest: str = HASH) -> str:
        return LOCKS[name].format(v=version, h=digest)

    assert rules(filled("2.32.4"), name) == set()
    assert rules(filled("2.30.0"), name) == {"HB-V201"}
    assert rules(filled("2.32.0"), name) == {"HB-V205"}
    assert rules(filled("2.32.4", OTHER), name) == {"HB-V203"}
    assert rules(filled("2.32.4"), name, Known()) == {"HB-V202"}


@pytest.mark.parametrize(
    ("name", "text", "rule"),
    [
        ("pyproject.toml", '[project]\nname = "a"\ndependencies = ["reqeusts"]\n', "HB-V204"),
        ("pyproject.toml", '[build-system]\nrequires = ["setuptools>=70"]\n', "HB-V203"),
        ("pyproject.toml", '[tool.poetry.dependencies]\nrequests = "^2.0"\n', "HB-V203"),
        (
            "pyproject.toml",
            '[tool.poetry.dependencies]\nb = {git = "https://git.example.org/b"}\n',
            "HB-V206",
        ),
        ("Cargo.lock", '[[package]]\nname = "a"\nversion = "1"\nsource = "registry"\n', "HB-V003"),
        ("poetry.lock", "[[package]]\nname = \n", "HB-V003"),
        ("environment.yml", "name: a\ndependencies:\n  - numpy=2.4\n", "HB-V202"),
        ("environment.yml", "dependencies:\n  - pip:\n    - reqeusts==1\n", "HB-V204"),
        ("environment.yml", "channels:\n  - http://x.example\ndependencies:\n  - a=1\n", "HB-V206"),
        ("package-lock.json", json.dumps({"name": "a", "lockfileVersion": 3}), "HB-V003"),
        (
            "uv.lock",
            '[[package]]\nname = "b"\nversion = "1"\n'
            'source = { git = "https://git.example.org/b?rev=main" }\n',
            "HB-V206",
        ),
    ],
)
def test_other_lists(name: str, text: str, rule: str) -> None:
    assert rule in rules(text, name)
    assert examined(text, name).outcome is not Outcome.CLEAN


def test_what_is_installed_is_judged_by_its_metadata() -> None:
    text = "Metadata-Version: 2.1\nName: Requests\nVersion: {}\n\nVersion: 9\n"
    assert rules(text.format("2.32.4"), "METADATA") == set()
    assert rules(text.format("2.30.0"), "METADATA") == {"HB-V201"}
    assert rules("Metadata-Version: 2.1\nName: x\n", "METADATA") == {"HB-V003"}


@pytest.mark.parametrize("name", ["requests", "numpy", "torch", "scikit-learn", "boto", "jax"])
def test_popular_names_imitate_nothing(name: str) -> None:
    assert imitated(name) == ""


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("nunpy", "numpy"),
        ("tensorfllow", "tensorflow"),
        ("Pandaas", "pandas"),
        ("t0rch", "torch"),
        ("beautifulsup4", "beautifulsoup4"),
        ("python_dateutil2", "python-dateutil"),
        ("huggingfacehub", "huggingface-hub"),
        ("requests-python", "requests"),
    ],
)
def test_imitations(name: str, meant: str) -> None:
    assert imitated(name) == meant


def test_spans_of_advisories() -> None:
    record = {
        "id": "PYSEC-3",
        "modified": "2026-11-01T00:00:00Z",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "My_Lib"},
                "versions": ["0.9"],
                "ranges": [
                    {
                        "type": "ECOSYSTEM",
                        "events": [
                            {"introduced": "1.0"},
                            {"fixed": "1.2"},
                            {"introduced": "2.0"},
                            {"last_affected": "2.1"},
                        ],
                    },
                    {"type": "GIT", "events": [{"introduced": "0"}]},
                ],
            },
            {"package": {"ecosystem": "npm", "name": "other"}},
        ],
    }
    (one,) = read_osv(record)
    assert one.package == "my-lib"
    tried = ("0.9", "0.9.0", "0.95", "1.0", "1.1.9", "1.2", "1.9", "2.0", "2.1", "2.1.1")
    hit = [v for v in tried if one.affects(v)]
    assert hit == ["0.9", "0.9.0", "1.0", "1.1.9", "2.0", "2.1"]
    assert one.affects("not a version")
    assert one.fixes == ("1.2",)
    assert modified(record) == 1793491200.0
    assert list(read_osv({**record, "withdrawn": "2026-11-02T00:00:00Z"})) == []


@given(text=st.text(max_size=300))
def test_any_text_is_examined_without_an_error(text: str) -> None:
    found = examined(text)
    assert not [one for one in found.findings if "examiner failed" in one.message]
    assert found.outcome is not Outcome.CLEAN or not found.findings
