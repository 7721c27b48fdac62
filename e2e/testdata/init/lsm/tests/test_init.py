"""Initialises a running orchestrator with pytest-inmanta-lsm."""

import pathlib

from pytest_inmanta.plugin import Project
from pytest_inmanta_lsm import retry_limited
from pytest_inmanta_lsm.remote_orchestrator import RemoteOrchestrator

STATE = "/var/lib/inmanta"
TOWNS = {"north": "Oslo", "south": "Porto", "west": "Cork"}


def test_signs_stand(project: Project, remote_orchestrator: RemoteOrchestrator) -> None:
    signs = (f'signpost::Sign(path="{STATE}/signs/{way}", points_to="{town}")' for way, town in TOWNS.items())
    project.compile("import signpost\n" + "\n".join(signs) + "\n")
    pathlib.Path(__file__).with_name("ignored.log").touch()  # as .gitignore has it
    remote_orchestrator.sync_project()
    orchestrator, environment = remote_orchestrator.client, remote_orchestrator.environment
    assert orchestrator.notify_change(environment, update=False, metadata={"type": "init", "message": "signs"}).code == 200

    def versions() -> list[int]:
        return [v["version"] for v in orchestrator.list_versions(environment).result["versions"]]

    retry_limited(versions, timeout=60)
    remote_orchestrator.wait_until_deployment_finishes(version=max(versions()), timeout=60)
