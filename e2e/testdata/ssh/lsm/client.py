"""pytest-inmanta-lsm's own code at work on an orchestrator, by way of the ssh sidecar: API_PORT SSH_PORT."""

import hashlib
import pathlib
import subprocess
import sys
import types
import uuid

# Of the commercial extension, without which it is not imported, no more than this name is used here.
for name in ("inmanta_lsm", "inmanta_lsm.diagnose", "inmanta_lsm.diagnose.model"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["inmanta_lsm.diagnose.model"].FullDiagnosis = object

import inmanta.module  # noqa: E402
from pytest_inmanta_lsm.remote_orchestrator import OrchestratorEnvironment, RemoteOrchestrator  # noqa: E402

api_port, ssh_port = int(sys.argv[1]), int(sys.argv[2])
environment = uuid.uuid4()
there = f"/var/lib/inmanta/server/{environment}/compiler"
here = pathlib.Path("/lsm/project")
(here / "project.yml").write_text(f"name: carried\nmodulepath: libs\npip:\n    index_url: file://{there}/index\n")
carried = pathlib.Path("/lsm/carried")
for kept_here in (here / ".env" / "bin" / "mine", here / "libs" / "mine", here / ".git" / "HEAD", here / "project.log", carried / "module.log"):
    kept_here.parent.mkdir(parents=True, exist_ok=True)
    kept_here.touch()
(here / ".gitignore").write_text("*.log\n")
(here / "link").symlink_to("main.cf")

project = inmanta.module.Project(str(here))
inmanta.module.Project.set(project)
project.load()
# As the page has it, and as it is without --lsm-rsh and --lsm-rh.
shells = (
    {"remote_shell": ["ssh", "-p", str(ssh_port)], "remote_host": "inmanta@127.0.0.1"},
    {"ssh_user": "inmanta", "ssh_port": ssh_port},
)
orchestrator, other = (
    RemoteOrchestrator(OrchestratorEnvironment(environment, f"carried-{environment}", None), host="127.0.0.1", port=api_port, container_env=True, **shell)
    for shell in shells
)
orchestrator.orchestrator_environment.configure_environment(orchestrator.client)


def ran(line: str) -> list[str]:
    """The lines that a command prints there."""
    return orchestrator.run_command([line], shell=True).splitlines()


def files(below: str) -> set[str]:
    return set(ran(f"cd {there}/{below} && find * .[!.]* -type f -not -path '.env/*' 2>/dev/null | sort"))


assert orchestrator.remote_user == other.remote_user == "inmanta"
assert str(orchestrator.remote_project_path) == there, orchestrator.remote_project_path

# The project, and the module that is worked on, without what is ignored; over what was there.
stale = [f"{there}/stale", f"{there}/libs/stale/model/_init.cf", f"{there}/libs/carried/model/stale.cf"]
ran("mkdir -p " + " ".join(str(pathlib.Path(path).parent) for path in stale) + " && touch " + " ".join(stale))
orchestrator.sync_project_folder()
module = {".gitignore", "setup.cfg", "pyproject.toml", "model/_init.cf", "inmanta_plugins/carried/__init__.py"}
wanted = {"project.yml", "main.cf", ".inmanta", ".gitignore"}
wanted |= {str(path.relative_to(here)) for path in (here / "index").rglob("*") if path.is_file()}
wanted |= {f"libs/carried/{name}" for name in module}
assert files("") == wanted, files("") ^ wanted
assert ran(f"readlink {there}/link; ls -d {there}/.git") == ["main.cf", f"{there}/.git"]
assert ran(f"sha256sum < {there}/main.cf")[0].split()[0] == hashlib.sha256((here / "main.cf").read_bytes()).hexdigest()

# All of it: carried over, installed there with the server's own Python, and exported.
orchestrator.export_service_entities()
assert ran(f"cat {there}/exported") == ["['first', 'second'] with lsm_no_instances=true"]
assert ran(f"{there}/.env/bin/python -c 'import inmanta_plugins.carried as c; print(c.__file__)'") == [
    f"{there}/libs/carried/inmanta_plugins/carried/__init__.py"
]

# What was installed survives another turn, by the other shell.
(carried / "model" / "_init.cf").write_text((carried / "model" / "_init.cf").read_text() + "\n# changed\n")
other.sync_project()
assert ran(f"tail -n 1 {there}/libs/carried/model/_init.cf") == ["# changed"]
assert ran(f"test -x {there}/.env/bin/python && echo kept") == ["kept"]

# The modules put aside and back, by rsync between two folders there.
before = files("libs")
orchestrator.cache_libs_folder()
ran(f"rm -r {there}/libs/carried/model && touch {there}/libs/extra")
orchestrator.restore_libs_folder()
assert files("libs") == before, files("libs") ^ before

# The environment cleared: first with the project put aside, into a folder that this server clears as well.
orchestrator.clear_environment(soft=True)
assert ran(f"ls -A {there}") == [], files("")
orchestrator.clear_environment()
assert ran(f"test -e {there} || echo gone") == ["gone"]

# A command that fails is told from a shell that is not reached.
for line, code in (("echo why; exit 9", 9), ("kill -TERM $$", 143)):
    try:
        orchestrator.run_command([line], shell=True)
    except subprocess.CalledProcessError as failed:
        assert failed.returncode == code, failed
        assert code != 9 or failed.output.endswith("why\n"), failed.output
    else:
        raise AssertionError(line)
print("pytest-inmanta-lsm is served")
