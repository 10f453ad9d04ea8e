"""Settings: every fault of the published platform has its name, and a sound one has none."""

import json
from pathlib import Path
from typing import Any

import pytest

from hauberk.vet.finding import Coverage, Outcome, Vetted
from hauberk.vet.run import vet
from hauberk.vet.source import Memory
from hauberk.vet.together import together

GOLDEN = Path(__file__).parents[2] / "golden" / "kubeflow" / "platform.yaml"
SOUND: dict[str, Any] = {
    "name": "c",
    "image": "registry.example.org/detector:1.2.3",
    "securityContext": {"runAsNonRoot": True, "runAsUser": 1000},
}


def examined(data: str | dict[str, Any], name: str = "x.yaml") -> Vetted:
    text = data if isinstance(data, str) else json.dumps(data)
    return vet(Memory(text.encode()), name)


def rules(data: str | dict[str, Any], name: str = "x.yaml") -> set[str]:
    return {one.rule for one in together([examined(data, name)])[0].findings}


def deployment(container: dict[str, Any], **pod: Any) -> dict[str, Any]:
    template = {"spec": {"containers": [{**SOUND, **container}], **pod}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n"},
        "spec": {"template": template},
    }


def test_every_fault_of_the_published_platform_is_named() -> None:
    pytest.importorskip("yaml", reason="PyYAML reads manifests and is not installed")
    assert rules(GOLDEN.read_text()) >= {f"HB-V{n}" for n in range(101, 111)} - {"HB-V109"}


def test_yaml_that_cannot_be_read_is_never_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "yaml", None)
    result = examined("apiVersion: v1\nkind: Service\n")
    assert (result.outcome, result.coverage) == (Outcome.REVIEW, Coverage.PARTIAL)


@pytest.mark.parametrize(
    ("container", "pod", "rule"),
    [
        ({"image": "a/b"}, {}, "HB-V107"),
        ({"image": "a/b:latest"}, {}, "HB-V107"),
        ({"image": "host:5000/a/b"}, {}, "HB-V107"),
        ({"securityContext": {"privileged": True, "runAsUser": 1}}, {}, "HB-V103"),
        ({"securityContext": {"runAsUser": 0}}, {}, "HB-V103"),
        ({"securityContext": {}}, {}, "HB-V103"),
        ({}, {"hostNetwork": True}, "HB-V104"),
        ({}, {"volumes": [{"hostPath": {"path": "/"}}]}, "HB-V104"),
        ({"env": [{"name": "MINIO_ROOT_PASSWORD", "value": "minio123"}]}, {}, "HB-V101"),
        ({"args": ["--host=0.0.0.0"]}, {}, "HB-V102"),
        ({"args": ["--auth=none"]}, {}, "HB-V102"),
        ({"args": ["mc anonymous set public x/y"]}, {}, "HB-V106"),
    ],
)
def test_a_fault_of_a_pod_is_named(container: Any, pod: Any, rule: str) -> None:
    found = rules(json.dumps(deployment(container, **pod)), "x.json")
    assert rule in found - {"HB-V105"}


def test_a_sound_pod_lacks_only_the_policy() -> None:
    assert rules(json.dumps(deployment({})), "x.json") == {"HB-V105"}


def test_a_policy_in_another_file_counts() -> None:
    policy = {"apiVersion": "v1", "kind": "NetworkPolicy", "metadata": {"namespace": "n"}}
    both = together([examined(deployment({}), "a.json"), examined(policy, "b.json")])
    assert [one.outcome for one in both] == [Outcome.CLEAN, Outcome.CLEAN]
    policy["metadata"] = {"namespace": "other"}
    both = together([examined(deployment({}), "a.json"), examined(policy, "b.json")])
    assert [one.outcome for one in both] == [Outcome.REVIEW, Outcome.CLEAN]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM python:3.11.7\nUSER 1000\n", set()),
        ("FROM python@sha256:00\nUSER app\n", set()),
        ("FROM python\nUSER app\n", {"HB-V107"}),
        ("FROM python:3.11.7\nRUN pip install x\n", {"HB-V103"}),
        ("FROM python:3.11.7 AS a\nFROM a\nUSER root\n", {"HB-V103"}),
        ("FROM a:1\nENV MINIO_SECRET_KEY=minio123\nUSER 1\n", {"HB-V101"}),
        ('FROM a:1\nUSER 1\nCMD ["x", "--host", "0.0.0.0"]\n', {"HB-V102"}),
        ("MINIO_ROOT_USER=minioadmin\nMINIO_ROOT_PASSWORD=minioadmin\n", {"HB-V101"}),
        ("MODE=serve\nPORT=8080\n", set()),
    ],
)
def test_dockerfiles_and_environment_files(text: str, expected: set[str]) -> None:
    assert rules(text, "Dockerfile") - {"HB-V109"} == expected


@pytest.mark.parametrize(
    "text",
    [
        "key = AKIA" + "ABCDEFGHIJKLMNOP",
        "-----BEGIN RSA " + "PRIVATE KEY-----",
        "token: ghp_" + "a1B2" * 9,
        "HF=hf_" + "a1B2" * 9,
        "url = postgres://me:" + "s3cr3tpw@db/x",
        'api_key = "' + 'Zx81kQpL0mWn"',
        '{"cells": [{"outputs": ["api_key=' + 'Zx81kQpL0mWn"]}]}',
    ],
)
def test_a_secret_is_named_and_never_shown(text: str) -> None:
    result = examined(text, "x.ipynb")
    assert {one.rule for one in result.findings} == {"HB-V109"}
    assert not [one for one in result.findings if text[-8:-1] in one.message]


@pytest.mark.parametrize(
    "text",
    [
        "password = os.environ['DB_PASSWORD']",
        "password: ${DB_PASSWORD}",
        "password: <your-password-here>",
        "token: changeme-example-1",
        "the secret is out: nobody likes passwords",
        "tokenizer_class: LlamaTokenizerFast",
        "postgres://user:${PASSWORD}@db",
    ],
)
def test_what_stands_in_for_a_secret_is_none(text: str) -> None:
    assert rules(text, "x.txt") == set()


@pytest.mark.parametrize("unit", ["\n", "a.", "{{", "{%", "eyJ-", "password", "# \n", "x\n \t\n"])
def test_no_text_holds_up_the_others(unit: str) -> None:
    import time

    start = time.process_time()
    examined(unit * (300_000 // len(unit)))
    assert time.process_time() - start < 3.0


GATEWAY = """
[serve]
host = "0.0.0.0"
top_k = 1
[access]
tls_cert = "cert.pem"
tls_key = "key.pem"
[quota]
rows_per_day = 1000.0
"""


@pytest.mark.parametrize(
    ("was", "becomes", "expected"),
    [
        ("", "", set()),
        ("rows_per_day = 1000.0", "", {"HB-V111"}),
        ("rows_per_day = 1000.0", "concurrent = 3", {"HB-V111"}),
        ("top_k = 1", "", {"HB-V112"}),
        ("top_k = 1", "round_digits = 2", set()),
        ('tls_cert = "cert.pem"', "", {"HB-V113"}),
        ('host = "0.0.0.0"\ntop_k = 1\n[access]\ntls_cert', "top_k = 1\n[access]\nissuer", set()),
        ("[quota]", '[upstream]\nurl = "http://models:8080"\n[quota]', {"HB-V113"}),
        ("[quota]", '[upstream]\nurl = "https://models"\n[quota]', set()),
        ("[quota]", '[upstream]\nurl = "http://localhost:8080"\n[quota]', set()),
        ("[quota]", '[upstream]\nurl = "models:8033"\n[quota]', {"HB-V113"}),
        ("[quota]", '[quota]\nbackend = "redis"\nredis = "redis://state:6379/0"', {"HB-V113"}),
        ("[quota]", '[quota]\nbackend = "redis"\nredis = "rediss://state:6379/0"', set()),
        ("[quota]", '[state]\nledger = "postgresql://db/h?sslmode=require"\n[quota]', set()),
        ("[quota]", '[state]\nledger = "postgresql://db/h"\n[quota]', {"HB-V113"}),
        ("[quota]", '[trace]\nendpoint = "http://collector:4318/v1/traces"\n[quota]', {"HB-V113"}),
    ],
)
def test_the_settings_of_a_gateway(was: str, becomes: str, expected: set[str]) -> None:
    text = GATEWAY.replace(was, becomes, 1) if was else GATEWAY
    assert was in GATEWAY
    assert rules(text, "any.toml") == expected


def test_a_shield_is_held_to_the_same_rules() -> None:
    shield = {
        "apiVersion": "hauberk.dev/v1alpha1",
        "kind": "ModelShield",
        "metadata": {"name": "m"},
        "spec": {"quota": {"rows_per_day": 5.0}},
    }
    assert rules(shield) == {"HB-V112"}
    assert examined({**shield, "spec": {"quotas": {}}}).outcome is Outcome.REVIEW


@pytest.mark.parametrize("text", ["[serve", '[serve]\nhosts = "x"\n', "[serve]\nport = 70000\n"])
def test_a_spec_that_is_not_sound_is_never_clean(text: str) -> None:
    result = examined(text, "hauberk.toml")
    assert (result.outcome, result.coverage) == (Outcome.REVIEW, Coverage.PARTIAL)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[serve]\nport = 1\n", "text"),
        ("[[serve.clients]]\n", "text"),
        ("[true]\n", "json"),
        ("[ [1], 2]", "json"),
        ("[]", "json"),
        ("[\n" + " " * 5000 + "1]", "json"),
        (' {"a": 1}', "json"),
        ("[NaN]", "json"),
    ],
)
def test_toml_is_no_json(text: str, kind: str) -> None:
    assert examined(text, "x").kind == kind


def test_another_programs_toml_is_none_of_ours() -> None:
    assert examined('[serve]\nhosts = "x"\n', "book.toml").outcome is Outcome.CLEAN
