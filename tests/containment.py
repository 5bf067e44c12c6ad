"""Lets the evil child loose in the sandbox, and prints what it reached: `python -m tests.containment FOLDER [--contained]`.

FOLDER is a new folder; the targets are put there. With --contained the process first gives up namespaces and privileges, as the
default profile of containers has it. JSON on standard output: the layers that were missing, how many attempts, those that
got through, and processes that were left behind.
"""

import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from workers.confinement import seccomp
from workers.confinement.kernel import renounce_privileges
from workers.jobs.job import JobTask, Kind
from workers.jobs.model_cache import model_cache
from workers.settings import Limits
from workers.worker import sandbox

EVIL_CHILD = Path(__file__).with_name("evil_child.py")
OUTSIDE = ("/etc/passwd", "/etc/shadow", "/root/.bashrc", "/proc/1/environ", "/run/secrets/fractune_broker_password")


def give_up_namespaces() -> None:
    """No privileges, and no calls that make namespaces or mounts."""
    renounce_privileges()
    refused = seccomp.refusals(["unshare", "setns", "mount", "umount2", "pivot_root"])
    seccomp.install_filter([*seccomp.prologue(), *refused, (seccomp.RETURN, 0, 0, seccomp.ALLOW)])


def release(folder: Path) -> dict[str, Any]:
    """Run the evil child in a job's folder below `folder`, with a secret, a socket and other jobs beside it."""
    job, other = folder / "jobs" / "evil", folder / "jobs" / "other"
    for each in (job, other):
        each.mkdir(parents=True)
    own_cache, other_cache = (Path(model_cache(folder / "cache", project, "model") or "") for project in ("ours", "theirs"))
    secrets = [folder / "fractune.db", folder / "local.json", other / "report.json", other_cache / "made.images"]
    for secret in secrets:
        secret.write_text("a secret")
    broker = socket.socket(socket.AF_UNIX)
    broker.bind(str(folder / "broker.sock"))
    broker.listen()
    with socket.create_server(("127.0.0.1", 0)) as server:
        targets = {
            "read": [*map(str, secrets), *(path for path in OUTSIDE if os.path.exists(path))],
            "write": [str(folder), str(other), str(other_cache), str(own_cache.parent), "/tmp", "/var/tmp", str(Path.home())],
            "tcp": ["127.0.0.1", server.getsockname()[1]],
            "unix": [str(folder / "broker.sock")],
            "victim": os.getpid(),
        }
        (folder / "targets.json").write_text(json.dumps(targets))
        events: list[dict[str, Any]] = []
        command = [sys.executable, str(EVIL_CHILD), str(folder / "targets.json")]
        outcome = sandbox.run_sandboxed(
            JobTask(Kind.INSPECT, "none", "out", cache=str(own_cache)),
            job,
            Limits(wall_clock_s=60),
            events.append,
            command=command,
        )
    return {
        "missing": outcome.missing,
        "failure": outcome.failure and outcome.failure.message,
        "attempts": len(events),
        "reached": [event["name"] for event in events if event["reached"]],
        "left": left_behind(),
    }


def left_behind() -> list[int]:
    """Processes of the evil child that are still there a moment after its end."""
    time.sleep(0.2)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if EVIL_CHILD.name.encode() in (process / "cmdline").read_bytes() and int(process.name) != os.getpid():
                found.append(int(process.name))
        except OSError:
            continue
    return found


if __name__ == "__main__":
    if "--contained" in sys.argv:
        give_up_namespaces()
    sys.stdout.write(json.dumps(release(Path(sys.argv[1]))) + "\n")
