"""``python -m hauberk.testing.kube FOLDER``: serve until told to stop; write a kubeconfig there."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

import uvicorn
import yaml

from hauberk.testing.kube.app import App
from hauberk.testing.kube.verbs import Target


def kubeconfig(url: str, namespace: str) -> str:
    """The text of a kubeconfig for a server without authentication."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": url}}],
            "users": [{"name": "fake", "user": {}}],
            "contexts": [
                {
                    "name": "fake",
                    "context": {"cluster": "fake", "user": "fake", "namespace": namespace},
                }
            ],
            "current-context": "fake",
        }
    )


async def _begin(app: App) -> None:
    for name in ("default", "kube-system"):
        resource = app.verbs.find("", "v1", "namespaces")
        if resource:
            target = Target(resource=resource, name=name)
            await app.verbs.create(target, {"metadata": {"name": name}})


def main(folder: Path) -> None:
    """Serve on a free port of the loopback; ``kubeconfig`` in the folder says that it listens."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as sock, (folder / "audit.jsonl").open("a") as log:
        app = App(audit=log)
        config = uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False)
        config.timeout_graceful_shutdown = 1
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"

        async def run() -> None:
            await _begin(app)
            (folder / "kubeconfig").write_text(kubeconfig(url, "default"))
            await uvicorn.Server(config).serve(sockets=[sock])

        asyncio.run(run())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
