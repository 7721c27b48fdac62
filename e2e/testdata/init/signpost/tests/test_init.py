"""Initialises a running orchestrator, on whose state volume this runs."""

import os
import pathlib
import shutil
import subprocess
import time
import uuid

from inmanta.config import Config
from inmanta.protocol.endpoints import SyncClient

ENVIRONMENT = uuid.UUID(os.environ["INMANTA_LSM_ENVIRONMENT"])
STATE = pathlib.Path("/var/lib/inmanta")
HERE = pathlib.Path(__file__).parent
TOWNS = {"north": "Oslo", "south": "Porto", "west": "Cork"}

PROJECT = """
name: signpost
modulepath: libs
downloadpath: libs
pip:
    use-system-config: true
"""


class Orchestrator:
    def __init__(self) -> None:
        Config.load_config()
        self.client = SyncClient("client")

    def ask(self, method: str, *args, **kwargs) -> dict:
        answer = getattr(self.client, method)(*args, **kwargs)
        assert answer.code < 300, f"{method}: {answer.code} {answer.result}"
        return answer.result or {}

    def has(self, environment: uuid.UUID) -> bool:
        return self.client.environment_get(environment).code == 200

    def project(self, name: str) -> str:
        for project in self.ask("project_list")["data"]:
            if project["name"] == name:
                return project["id"]
        return self.ask("project_create", name=name)["data"]["id"]


def until(what: str, look):
    """What look finds, once it finds something."""
    for _ in range(600):
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within a minute: {what}")


def model() -> str:
    signs = (f'signpost::Sign(path="{STATE}/signs/{way}", points_to="{town}")' for way, town in TOWNS.items())
    return "import signpost\n" + "\n".join(signs) + "\n"


def put_project(folder: pathlib.Path) -> None:
    (folder / "libs").mkdir(parents=True)
    (folder / "project.yml").write_text(PROJECT)
    (folder / "main.cf").write_text(model())
    kept_out = shutil.ignore_patterns(".git", "*.egg-info", "__pycache__", ".pytest_cache")
    shutil.copytree(HERE.parent, folder / "libs" / "signpost", ignore=kept_out)
    outside = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    subprocess.run(["/opt/inmanta/bin/python3", HERE / "install_project.py", folder], check=True, env=outside)


def test_signs_stand() -> None:
    orchestrator = Orchestrator()
    if not orchestrator.has(ENVIRONMENT):
        project = orchestrator.project("signpost")
        orchestrator.ask("environment_create", project_id=project, name="signpost", environment_id=ENVIRONMENT)
    orchestrator.ask("environment_clear", ENVIRONMENT)
    orchestrator.ask("environment_settings_set", ENVIRONMENT, "auto_deploy", True)
    put_project(STATE / "server" / str(ENVIRONMENT) / "compiler")
    orchestrator.ask("resume_environment", ENVIRONMENT)
    orchestrator.ask("notify_change", ENVIRONMENT, update=False, metadata={"type": "init", "message": "signs"})

    def compiled():
        for report in orchestrator.ask("get_compile_reports", ENVIRONMENT, limit=1, sort="requested.desc")["data"]:
            if report["completed"]:
                return report

    report = until("the compile", compiled)
    assert report["success"], orchestrator.ask("compile_details", ENVIRONMENT, report["id"])

    def deployed():
        resources = orchestrator.ask("resource_list", ENVIRONMENT, limit=1, deploy_summary=True)
        states = {s: n for s, n in resources["metadata"]["deploy_summary"]["by_state"].items() if n}
        assert "failed" not in states and "unavailable" not in states, states
        return states == {"deployed": len(TOWNS)}

    until("the deployment", deployed)
    for way, town in TOWNS.items():
        assert (STATE / "signs" / way).read_text() == town
