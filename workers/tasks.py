"""run_job: claim a job, run the sandboxed child, record what it says.

`sandbox.run` as this module calls it (workers/sandbox.py):

    Outcome(ok: bool, failure: Failure | None)
    run(task: Task, workdir: Path, limits: settings.Limits,
        on_event: Callable[[dict[str, Any]], None],   # progress and layer events, in order, in the caller's thread
        should_stop: Callable[[], bool],              # asked at least twice a second; True: kill the group, failure CANCELED
        *, command: Sequence[str]) -> Outcome         # settings.child_command; WORKDIR is appended

It writes workdir/task.json, runs `command workdir` with stderr to workdir/log.txt, and never raises for what the child does.
Started by `python -m workers` (a Celery worker, prefork, concurrency 1).
"""
