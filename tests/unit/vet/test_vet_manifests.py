"""Faults of manifests and settings, one at a time, each by its rule; and sound ones without any."""

import json

import pytest

from hauberk.vet.finding import Outcome
from hauberk.vet.run import vet
from hauberk.vet.source import Memory
from hauberk.vet.together import together

POD = """apiVersion: v1
kind: Pod
metadata: {{name: a, namespace: n}}
spec:
  {spec}
  containers:
  - name: c
    image: r.example/x:1.0
    securityContext: {{runAsNonRoot: true, runAsUser: 1000, {context}}}
    {container}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: d, namespace: n}}
spec: {{podSelector: {{}}, policyTypes: [Ingress, Egress]}}
"""
FIXED = "FROM python:3.11-slim@sha256:" + "a" * 64 + "\nUSER 1000\n"


def pod(container: str = "", context: str = "", spec: str = "") -> str:
    return POD.format(container=container, context=context, spec=spec)


def an(kind: str, rest: str) -> str:
    return f"apiVersion: x/v1\nkind: {kind}\nmetadata: {{name: a, namespace: n}}\n{rest}\n"


def statement(principal: object) -> str:
    return json.dumps(
        {"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "s3:*"}]}
    )


FAULTS = {
    "port of the host": (pod("ports: [{containerPort: 80, hostPort: 80}]"), "HB-V102"),
    "password in a variable": (pod("env: [{name: DB_PASSWORD, value: hunter2xyz9}]"), "HB-V109"),
    "password in an argument": (pod('args: ["--password=Zx91kdkd2"]'), "HB-V109"),
    "fetched and run": (pod('command: [sh, -c, "curl http://x/y.sh | sh"]'), "HB-V206"),
    "notebook without token": (
        pod("args: [jupyter, lab, \"--NotebookApp.token=''\", --ip=0.0.0.0]"),
        "HB-V102",
    ),
    "may gain privileges": (pod(context="allowPrivilegeEscalation: true"), "HB-V103"),
    "capabilities": (pod(context="capabilities: {add: [NET_ADMIN]}"), "HB-V103"),
    "unconfined": (pod(context="seccompProfile: {type: Unconfined}"), "HB-V103"),
    "all of proc": (pod(context="procMount: Unmasked"), "HB-V103"),
    "the host's network": (pod(spec="hostNetwork: true"), "HB-V104"),
    "an overseer's account": (pod(spec="serviceAccountName: cluster-admin"), "HB-V110"),
    "a role for anybody": (
        an("ClusterRoleBinding", 'roleRef: {name: view}\nsubjects: [{name: "system:anonymous"}]'),
        "HB-V102",
    ),
    "an administrator": (
        an("ClusterRoleBinding", "roleRef: {name: cluster-admin}\nsubjects: [{name: default}]"),
        "HB-V110",
    ),
    "all with secrets": (an("Role", 'rules: [{resources: [secrets], verbs: ["*"]}]'), "HB-V110"),
    "takes rights": (an("Role", "rules: [{resources: [roles], verbs: [bind]}]"), "HB-V110"),
    "changes all": (an("Role", 'rules: [{resources: ["*"], verbs: [delete]}]'), "HB-V110"),
    "model over http": (
        an("InferenceService", "spec: {predictor: {model: {storageUri: 'http://x/m.onnx'}}}"),
        "HB-V206",
    ),
    "model is a pickle": (
        an("InferenceService", "spec: {predictor: {model: {storageUri: 's3://b/m.joblib'}}}"),
        "HB-V108",
    ),
    "policy that lets all in": (
        an("NetworkPolicy", "spec: {podSelector: {}, ingress: [{}]}"),
        "HB-V105",
    ),
    "outside address": (an("Service", "spec: {externalIPs: [192.0.2.1]}"), "HB-V102"),
    "mesh without proof": (an("PeerAuthentication", "spec: {mtls: {mode: DISABLE}}"), "HB-V102"),
    "mesh open": (an("AuthorizationPolicy", "spec: {action: ALLOW, rules: [{}]}"), "HB-V102"),
    "compose, host": ("services:\n  a:\n    image: x/y:1\n    network_mode: host\n", "HB-V104"),
    "compose, rights": (
        "services:\n  a:\n    image: x/y:1\n    cap_add: [SYS_PTRACE]\n",
        "HB-V103",
    ),
    "compose, root": ("services:\n  a:\n    image: x/y:1\n    user: root\n", "HB-V103"),
    "pickled flavour": (
        "flavors:\n  sklearn:\n    serialization_format: cloudpickle\n",
        "HB-V108",
    ),
    "anonymous": ("core:\n  anonymous: true\n", "HB-V102"),
    "auth off": ("server:\n  auth:\n    enabled: false\n", "HB-V102"),
    "chart's password": ("auth:\n  rootPassword: minio123\n", "HB-V101"),
    "chart's tag": ("image:\n  repository: x/y\n  tag: latest\n", "HB-V107"),
    "chart's root": ("podSecurityContext:\n  runAsUser: 0\n", "HB-V103"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(name: str) -> None:
    text, rule = FAULTS[name]
    (found,) = together([vet(Memory(text.encode()), "x.yaml")])
    assert rule in {one.rule for one in found.findings}
    assert found.outcome is Outcome.REVIEW


@pytest.mark.parametrize(
    "line",
    [
        "ADD http://x.example/a.tar /a",
        "RUN curl -s http://x.example/i.sh | bash",
        "RUN wget -qO- http://x.example/i.sh | sudo sh",
        "RUN pip install --trusted-host x.example numpy==2",
        "RUN pip install -i http://x.example/s numpy==2",
    ],
)
def test_what_an_image_fetches_and_runs(line: str) -> None:
    found = vet(Memory((FIXED + line + "\n").encode()), "Dockerfile")
    assert {one.rule for one in found.findings} == {"HB-V206"}


def test_what_a_notebook_fetches_and_runs() -> None:
    def told(source: object) -> set[str]:
        tree = {"cells": [{"cell_type": "code", "source": source}], "nbformat": 4}
        found = vet(Memory(json.dumps(tree).encode()), "x.ipynb")
        return {one.rule for one in found.findings}

    assert told(["!curl -s http://x.example/i", ".sh | sh\n"]) == {"HB-V206"}
    assert told("!pip install -q numpy==2.0\nprint(1)") == set()
    assert told(7) == set()


@pytest.mark.parametrize("principal", ["*", {"AWS": "*"}, {"AWS": ["*"]}])
def test_a_bucket_for_anybody(principal: object) -> None:
    found = vet(Memory(statement(principal).encode()), "policy.json")
    assert {one.rule for one in found.findings} == {"HB-V106"}
    assert vet(Memory(statement({"AWS": "arn:x"}).encode()), "p.json").outcome is Outcome.CLEAN


@pytest.mark.parametrize(
    "text",
    [
        pod(),
        pod("env: [{name: DB_PASSWORD, valueFrom: {secretKeyRef: {name: a, key: b}}}]"),
        pod(context="capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}"),
        an("Service", "spec: {type: ClusterIP}"),
        an("Role", "rules: [{resources: [pods], verbs: [get, list]}]"),
        an("RoleBinding", "roleRef: {name: view}\nsubjects: [{name: someone}]"),
        an("PeerAuthentication", "spec: {mtls: {mode: STRICT}}"),
        an("InferenceService", "spec: {predictor: {model: {storageUri: 's3://b/m.onnx'}}}"),
        "image:\n  repository: x/y\n  tag: 1.2.3\nauth:\n  enabled: true\n",
        "services:\n  a:\n    image: x/y:1\n    user: '1000'\n",
        "lr: 0.1\nepochs: 3\nmodel: {name: small, layers: [1, 2]}\n",
        FIXED + "RUN pip install --no-cache-dir numpy==2.0\n",
    ],
)
def test_what_is_sound_is_clean(text: str) -> None:
    name = "Dockerfile" if text.startswith("FROM") else "x.yaml"
    (found,) = together([vet(Memory(text.encode()), name)])
    assert found.findings == ()
    assert found.outcome is Outcome.CLEAN
