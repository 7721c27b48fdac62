"""
Tells the init sidecar what pytest is doing: one JSON object a line, on the descriptor that it handed down.
A plugin rather than a look at pytest's output, which its options and other plugins change.
"""

import json
import os

_descriptor = os.environ.get("INMANTA_INIT_REPORT", "")
_longest = 6000  # characters of an explanation; its end says most


def _say(**event):
    if not _descriptor:
        return
    try:
        os.write(int(_descriptor), (json.dumps(event) + "\n").encode())
    except OSError:
        pass  # nobody listens any more


def _explanation(report):
    text = getattr(report, "longreprtext", "") or ""
    return text if len(text) <= _longest else "…" + text[-_longest:]


def pytest_configure(config):
    global _descriptor
    if hasattr(config, "workerinput"):
        _descriptor = ""  # a worker of pytest-xdist: the reports come together in its master


def pytest_collection_finish(session):
    _say(event="collected", total=len(session.items))


def pytest_collectreport(report):
    if report.failed:
        _say(event="broken", test=report.nodeid, detail=_explanation(report))


def pytest_runtest_logstart(nodeid, location):
    _say(event="started", test=nodeid)


def pytest_runtest_logreport(report):
    if report.failed:
        _say(event="failed", test=report.nodeid, when=report.when, seconds=report.duration, detail=_explanation(report))
    elif report.skipped:
        _say(event="skipped", test=report.nodeid, when=report.when, seconds=report.duration)
    elif report.when == "call":
        _say(event="passed", test=report.nodeid, when=report.when, seconds=report.duration)
