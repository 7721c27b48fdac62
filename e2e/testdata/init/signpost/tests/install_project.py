"""
Installs a project, and the module in its folder libs, into the environment in which the orchestrator compiles it. That
environment builds on the Python which makes it, so this runs with the orchestrator's and not with that of the tests.
"""

import pathlib
import sys

from inmanta import env, module

folder = pathlib.Path(sys.argv[1])
project = module.Project(str(folder), venv_path=str(folder / ".env"))
project.use_virtual_env()
signpost = env.LocalPackagePath(str(folder / "libs" / "signpost"), editable=True)
project.virtualenv.install_for_config([], project.metadata.pip, paths=[signpost])
project.install_modules()
