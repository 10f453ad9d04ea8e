"""The chain from a served model back to its data: each link broken in turn is found and named."""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
from base64 import b64decode, b64encode
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from hauberk.adapters.local.home import Home
from hauberk.adapters.local.judgement import judgement
from hauberk.adapters.local.shop import Shop
from hauberk.adapters.sql.ledger import Growth
from hauberk.adapters.sql.ledger_rows import COLUMNS, body_text, entry_of, new_row
from hauberk.core.digest import digest_bytes, short
from hauberk.core.errors import Untrusted
from hauberk.core.ports import Job
from hauberk.core.spec import parse_spec
from hauberk.govern.provenance import dataset_statement, unattested
from hauberk.govern.provenance_family import ancestors, descendants
from hauberk.govern.provenance_walk import Link, Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hauberk.core.ports import Entry

SPEC = {
    "model": {"architecture": "mlp"},
    "data": {"source": "digits"},
    "gate": {"samples": 20, "restarts": 1, "clean_accuracy": 0.0, "robust_accuracy": 0.0},
}


@dataclass
class Made:
    """A state directory in which a model was made, hardened, judged, released and put to use."""

    folder: Path
    parent: str
    model: str
    blobs: dict[str, str]

    def walk(self, digest: str = "") -> list[Link]:
        home = Home(self.folder)
        links = Walk(home.store, home.ledger, home.signer)(digest or self.model)
        home.ledger.close()
        return links

    def broken(self, digest: str = "") -> list[tuple[str, str]]:
        return [(one.step, one.digest) for one in self.walk(digest) if one.state == "BROKEN"]


def clock() -> Callable[[], float]:
    ticks: Iterator[float] = itertools.count(1000.0)
    return lambda: next(ticks)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Made:
    import torch

    torch.set_num_threads(1)
    home = Home.create(tmp_path_factory.mktemp("made") / "state")
    spec = parse_spec(SPEC)
    shop = Shop(spec=spec, store=home.store, ledger=home.ledger, clock=clock(), signer=home.signer)
    parent = shop.register(
        shop.fresh(seed=1), role="primary", parent=None, origin={"method": "clean", "seed": 1}
    )
    home.trust.sign(parent, {"role": "initial", "by": "ann"}, shop.clock())
    model = shop.register(
        shop.fresh(seed=2), role="primary", parent=parent, origin={"method": "harden", "seed": 2}
    )
    job = Job(
        id="judge-1", kind="judge", incident="i", inputs={"primary": parent, "candidate": model}
    )
    judged = judgement(shop, job)
    calibration = home.store.put(b"a calibration")
    # An untrained model fails the gate: here the decision is taken for what a better one gets.
    decided = home.ledger.entries(kind="decision", subject=model)[0].body
    passing = {**decided, "verdict": "pass"}
    for row in passing["rows"]:
        row["verdict"] = "pass"
    home.ledger.append("decision", model, passing, at=shop.clock(), key="passing")
    from hauberk.core.digest import digest_json
    from hauberk.govern.provenance import evaluation_statement

    shop.attest(evaluation_statement(model, passing))
    grounds = {
        "role": "primary",
        "verdict": "pass",
        "policy": judged["policy"],
        "decision": digest_json(passing),
        "evidence": judged["evidence"],
    }
    home.trust.sign(model, grounds, shop.clock())
    routing = {"primary": model, "twin": None, "canary": None, "calibration": calibration}
    home.ledger.append("deployment", model, routing, at=shop.clock())
    entry = home.ledger.entries(kind="model", subject=model)[0]
    blobs = {
        "model": model,
        "weights": entry.body["weights"],
        "calibration": calibration,
    }
    if judged["examples"]:
        blobs["examples"] = judged["examples"]
    home.ledger.close()
    return Made(home.folder, parent, model, blobs)


@pytest.fixture
def made(original: Made, tmp_path: Path) -> Made:
    folder = tmp_path / "state"
    shutil.copytree(original.folder, folder)
    return Made(folder, original.parent, original.model, original.blobs)


def rewrite(made: Made, change: Callable[[Entry, dict[str, Any]], dict[str, Any] | None]) -> None:
    """Write the whole ledger anew, chain and tree, as one who holds the file but no key can."""
    ledger = Home(made.folder).ledger
    entries, head, grown = ledger.entries(), None, Growth()
    ledger.close()
    rows: list[Any] = []
    for old in entries:
        body = change(old, json.loads(json.dumps(old.body)))
        if body is None:
            continue
        text = body_text(old.kind, old.subject, body, "")
        row = new_row(head, old.kind, old.subject, text, old.at)
        head = entry_of(row)
        grown.add(bytes.fromhex(row[6][7:]))
        rows.append((*row, None))
    with closing(sqlite3.connect(made.folder / "ledger.db", isolation_level=None)) as connection:
        for name in ("ledger_no_delete", "tree_no_delete"):
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DELETE FROM ledger")
        connection.execute("DELETE FROM tree")
        connection.executemany(
            f"INSERT INTO ledger ({COLUMNS}, once) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows
        )
        connection.executemany("INSERT INTO tree VALUES (?, ?)", enumerate(grown.take()[0]))


def test_a_whole_chain_is_whole(made: Made) -> None:
    links = made.walk()
    assert [one for one in links if one.state != "ok"] == []
    steps = [one.step for one in links if one.digest == made.model]
    assert steps[:8] == [
        *("ledger", "model", "weights", "training", "evaluation", "evidence"),
        *(["examples"] if "examples" in made.blobs else []),
        "release",
        *([] if "examples" in made.blobs else ["deployment"]),
    ]
    assert {one.step for one in links} >= {"dataset", "transform", "deployment", "calibration"}
    assert {one.digest for one in links} >= {made.model, made.parent}
    assert made.broken(made.parent) == []


@pytest.mark.parametrize("step", ["model", "weights", "calibration"])
def test_a_byte_changed_in_a_blob(made: Made, step: str) -> None:
    path = Home(made.folder).store.path(made.blobs[step])
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert made.broken() == [(step, made.model)]
    path.unlink()
    assert made.broken() == [(step, made.model)]


def test_a_byte_changed_in_any_row_of_the_ledger(made: Made) -> None:
    """Every row in turn, as the file's holder can: the entry is named by its number."""
    path = made.folder / "ledger.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        rows = connection.execute("SELECT number, body FROM ledger").fetchall()
        assert len(rows) > 15
        for number, body in rows:
            flipped = body[:-2] + chr(ord(body[-2]) ^ 1) + body[-1]
            connection.execute("DROP TRIGGER IF EXISTS ledger_no_update")  # opening makes it anew
            connection.execute("UPDATE ledger SET body=? WHERE number=?", (flipped, number))
            [link] = made.walk()
            assert link.step == "ledger"
            assert link.state == "BROKEN"
            assert f"entry {number} is broken" in link.why
            connection.execute("DROP TRIGGER IF EXISTS ledger_no_update")
            connection.execute("UPDATE ledger SET body=? WHERE number=?", (body, number))
    assert made.broken() == []


def bend(entry: Entry, body: dict[str, Any]) -> dict[str, Any]:
    """One byte of a signature's envelope."""
    payload = bytearray(b64decode(body["envelope"]["payload"]))
    payload[-10] ^= 1
    return {"envelope": {**body["envelope"], "payload": b64encode(payload).decode()}}


def kind_of(entry: Entry) -> str:
    if entry.kind != "signature":
        return entry.kind
    payload = json.loads(b64decode(entry.body["envelope"]["payload"]))
    return {
        "https://hauberk.dev/attest/dataset/v1": "dataset",
        "https://hauberk.dev/attest/transform/v1": "transform",
        "https://slsa.dev/provenance/v1": "training",
        "https://in-toto.io/attestation/test-result/v0.1": "evaluation",
        "https://hauberk.dev/attest/release/v1": "release",
    }[payload["predicateType"]]


@pytest.mark.parametrize("step", ["dataset", "transform", "training", "evaluation", "release"])
def test_an_envelope_altered_by_one_who_wrote_the_ledger_anew(made: Made, step: str) -> None:
    hit: list[str] = []

    def change(entry: Entry, body: dict[str, Any]) -> dict[str, Any]:
        about = entry.subject == made.model or step in {"dataset", "transform"}
        if entry.kind == "signature" and kind_of(entry) == step and about:
            hit.append(entry.subject)
            return bend(entry, body)
        return body

    rewrite(made, change)
    found = made.broken()
    assert hit
    # A model in service whose release does not hold is a second break.
    assert [one for one, _ in found] == ([step, "deployment"] if step == "release" else [step])
    why = next(one.why for one in made.walk() if one.state == "BROKEN")
    assert "no trusted key signed" in why


@pytest.mark.parametrize(
    ("kind", "key", "value", "step"),
    [
        ("dataset", "source", "npz:elsewhere.npz", "dataset"),
        ("dataset", "parts", {}, "transform"),
        ("model", "weights", digest_bytes(b"a calibration"), "training"),
        ("model", "origin", {"method": "harden", "seed": 3}, "training"),
        ("model", "parent", None, "training"),
        ("model", "dataset", digest_bytes(b"other data"), "training"),
        ("decision", "verdict", "pass ", "evaluation"),
        ("evidence", "value", 0.9999, "evidence"),
    ],
)
def test_an_entry_altered_by_one_who_wrote_the_ledger_anew(
    made: Made, kind: str, key: str, value: Any, step: str
) -> None:
    def change(entry: Entry, body: dict[str, Any]) -> dict[str, Any]:
        about = entry.subject == made.model or kind == "dataset"
        if entry.kind == kind and about and key in body:
            body[key] = value
        return body

    rewrite(made, change)
    assert step in {found for found, _ in made.broken()}


@pytest.mark.parametrize("kind", ["dataset", "model", "decision", "evidence", "signature"])
def test_a_link_taken_out_is_missed(made: Made, kind: str) -> None:
    rewrite(made, lambda entry, body: None if entry.kind == kind else body)
    assert made.broken()


def test_a_parent_need_not_have_been_released(made: Made) -> None:
    def change(entry: Entry, body: dict[str, Any]) -> dict[str, Any] | None:
        parent = entry.kind == "signature" and entry.subject == made.parent
        return None if parent and kind_of(entry) == "release" else body

    rewrite(made, change)
    assert made.broken() == []
    assert made.broken(made.parent) == [("release", made.parent)]


def test_another_key_is_not_ours(made: Made, tmp_path: Path) -> None:
    (made.folder / "keys" / "trusted" / "signer.pub").unlink()
    other = Home.create(tmp_path / "other")
    trusted = other.folder / "keys" / "trusted" / "signer.pub"
    shutil.copy(trusted, made.folder / "keys" / "trusted" / "other.pub")
    assert {step for step, _ in made.broken()} >= {"training", "dataset", "transform", "release"}


def test_what_the_ledger_does_not_know(made: Made) -> None:
    unknown = digest_bytes(b"unknown")
    assert made.broken(unknown) == [("model", unknown)]


def test_revoking_a_dataset_blocks_every_descendant(made: Made) -> None:
    home = Home(made.folder)
    [dataset] = [entry.subject for entry in home.ledger.entries(kind="dataset")]
    assert home.trust.verified(made.model)
    assert home.trust.verified(made.parent)
    below = {one.digest for one in descendants(home.ledger, dataset)}
    assert below == {made.model, made.parent}
    above = [(one.kind, one.digest) for one in ancestors(home.ledger, made.model)]
    assert above == [("model", made.parent), ("dataset", dataset)]
    home.trust.revoke(dataset, "poisoned", 1.0)
    for digest in below:
        with pytest.raises(Untrusted, match=rf"HB-S003: .*{short(dataset)}.*poisoned"):
            home.trust.verified(digest)
        with pytest.raises(Untrusted, match="HB-S003"):
            home.trust.sign(digest, {"role": "twin"}, 2.0)
    home.ledger.close()
    assert ("revocation", made.model) in made.broken()


def test_entering_a_model_again_under_other_data_hides_nothing(made: Made) -> None:
    home = Home(made.folder)
    [dataset] = [entry.subject for entry in home.ledger.entries(kind="dataset")]
    home.trust.revoke(dataset, "poisoned", 1.0)
    body = home.ledger.entries(kind="model", subject=made.model)[0].body
    clean = {**body, "dataset": digest_bytes(b"clean"), "parent": None}
    home.ledger.append("model", made.model, clean, at=2.0)
    with pytest.raises(Untrusted, match="HB-S003"):
        home.trust.verified(made.model)


def test_revoking_a_model_blocks_its_descendants_only_where_it_says_so(made: Made) -> None:
    home = Home(made.folder)
    home.trust.revoke(made.parent, "weak", 1.0)
    assert home.trust.verified(made.model)
    with pytest.raises(Untrusted, match="HB-S003"):
        home.trust.verified(made.parent)
    home.trust.revoke(made.parent, "backdoor", 2.0, descendants=True)
    with pytest.raises(Untrusted, match=r"HB-S003: .* descends from model .* backdoor"):
        home.trust.verified(made.model)


def test_a_dataset_drawn_from_a_revoked_one_is_barred_with_its_models(made: Made) -> None:
    home = Home(made.folder)
    source, drawn = digest_bytes(b"source"), digest_bytes(b"drawn")
    home.ledger.append("dataset", drawn, {"name": "drawn", "from": [source]}, at=0.0)
    home.ledger.append("model", made.model, {"dataset": drawn, "name": "m"}, at=0.0)
    assert home.trust.verified(made.model)
    home.trust.revoke(source, "taken back", 1.0)
    with pytest.raises(Untrusted, match="HB-S003"):
        home.trust.verified(made.model)


def test_attesting_again_changes_nothing(made: Made) -> None:
    home = Home(made.folder)
    shop = Shop(
        spec=parse_spec(SPEC),
        store=home.store,
        ledger=home.ledger,
        clock=clock(),
        signer=home.signer,
    )
    before = len(home.ledger.entries())
    shop.enter_data()
    assert len(home.ledger.entries()) == before
    digest = shop.data.digest
    body = home.ledger.entries(kind="dataset", subject=digest)[0].body
    assert unattested(home.ledger, home.signer, dataset_statement(digest, body)) == ""
    parts = {name: part["samples"] for name, part in body["parts"].items()}
    assert sum(parts.values()) == body["samples"] == len(shop.data)
    assert parts["train"] == len(shop.data.indices("train"))
