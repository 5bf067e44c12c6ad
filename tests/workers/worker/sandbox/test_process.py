"""The sandbox with real child programs that do what hostile models make a runtime do."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.waiting import PATIENCE_S, until
from workers.jobs.job import JobTask, Kind, Stage
from workers.settings import Limits
from workers.worker.sandbox import Outcome, run_sandboxed

SAY = """
import json, os, sys, time
def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)
"""


class Child:
    """A child program, run in `folder`; `events` is what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[dict[str, object]] = []
        self.cache: str | None = None

    def run(self, program: str, should_stop: Callable[[], bool] = lambda: False, **limits: float) -> Outcome:
        task = JobTask(Kind.COMPRESS, "model.onnx", str(self.folder / "out"), threads=1, cache=self.cache)
        command = [sys.executable, "-c", SAY + textwrap.dedent(program)]
        settings = Limits.model_validate({"wall_clock_s": PATIENCE_S, "grace_s": 0.5} | limits)
        return run_sandboxed(task, self.folder, settings, self.events.append, should_stop, command=command)

    @property
    def log(self) -> str:
        return (self.folder / "log.txt").read_text()


@pytest.fixture
def child(tmp_path: Path) -> Child:
    return Child(tmp_path)


def code(outcome: Outcome) -> str:
    assert outcome.failure is not None
    return outcome.failure.code


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_success_hands_the_events_on_in_order(child: Child) -> None:
    outcome = child.run("""
        say("progress", stage="import")
        say("layer", name="conv1", sparsity=0.5)
        say("done")
    """)
    assert outcome.ok
    assert outcome.failure is None
    assert [event["event"] for event in child.events] == ["progress", "layer"]


def test_progress_carries_what_progress_has_and_no_more(child: Child) -> None:
    child.run('say("progress", stage="import", done=1, surprise=2)')
    assert child.events == [{"event": "progress", "stage": "import", "done": 1, "total": 0, "layer": None, "message": ""}]


def test_the_child_reads_its_task(child: Child) -> None:
    child.run('task = json.load(open(sys.argv[1] + "/task.json")); say("layer", **task)')
    assert child.events[0]["model"] == "model.onnx"
    assert child.events[0]["kind"] == "compress"


def test_resources_are_measured(child: Child) -> None:
    outcome = child.run('x = bytearray(200 << 20); time.sleep(0.2); say("done")')
    assert outcome.peak_rss_bytes > 200 << 20
    assert outcome.wall_s > 0.2
    assert 0 < outcome.cpu_s < outcome.wall_s * os.cpu_count()


def test_a_refusal_keeps_its_words(child: Child) -> None:
    outcome = child.run("""
        say("failure", code="MODEL_SHAPE", message="no", hint="give --shape", stage="import", layer=None)
        sys.exit(2)
    """)
    assert outcome.failure is not None
    assert (outcome.failure.code, outcome.failure.hint, outcome.failure.stage) == ("MODEL_SHAPE", "give --shape", Stage.IMPORT)


def test_a_crash_names_stage_and_layer(child: Child) -> None:
    outcome = child.run("""
        say("progress", stage="compress", done=3, total=20, layer="conv1")
        import ctypes; ctypes.string_at(0)
    """)
    assert outcome.failure is not None
    assert (code(outcome), outcome.failure.stage, outcome.failure.layer) == ("CRASHED", Stage.COMPRESS, "conv1")
    assert "SIGSEGV" in outcome.failure.message
    assert "Segmentation fault" in child.log


def test_a_silent_exit_is_a_mistake_of_ours(child: Child) -> None:
    assert code(child.run("pass")) == "INTERNAL"


def test_a_crash_after_the_work_is_a_crash(child: Child) -> None:
    assert code(child.run('say("done"); os.abort()')) == "CRASHED"


def test_a_traceback_ends_up_in_the_message(child: Child) -> None:
    outcome = child.run('raise RuntimeError("this very thing")')
    assert outcome.failure is not None
    assert code(outcome) == "INTERNAL"
    assert "this very thing" in outcome.failure.message


@pytest.mark.parametrize(
    "program",
    [
        "bytearray(64 << 30)",
        "sys.stderr.write(\"terminate called after throwing an instance of 'std::bad_alloc'\"); sys.stderr.flush(); os.abort()",
    ],
    ids=["MemoryError", "bad_alloc"],
)
def test_too_much_memory(child: Child, program: str) -> None:
    outcome = child.run(program, memory=1 << 30)
    assert code(outcome) == "OUT_OF_MEMORY"
    assert outcome.failure is not None
    assert "1.0 GiB" in outcome.failure.message


def test_a_child_killed_from_outside_is_not_out_of_memory(child: Child) -> None:
    outcome = child.run("os.kill(os.getpid(), 9)")
    assert code(outcome) == "CRASHED"
    assert outcome.killed


@pytest.mark.parametrize("program", ["os.abort()", "sys.exit(1)", "bytearray(64 << 30)"])
def test_a_child_that_fails_by_itself_was_not_killed(child: Child, program: str) -> None:
    assert not child.run(program, memory=1 << 30).killed


def test_a_file_beyond_the_limit(child: Child) -> None:
    assert code(child.run('open("big", "wb").write(bytes(2 << 20))', file_size=1 << 20)) == "OUT_OF_DISK"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk(child: Child) -> None:
    assert code(child.run('open("/dev/full", "w").write("x" * (1 << 20))')) == "OUT_OF_DISK"


def test_a_hang_is_ended_at_the_wall_clock(child: Child) -> None:
    outcome = child.run("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(3600)", wall_clock_s=1)
    assert code(outcome) == "TIMED_OUT"


def test_closing_the_output_does_not_hide_a_hang(child: Child) -> None:
    assert code(child.run("os.close(1); os.close(2); time.sleep(3600)", wall_clock_s=1)) == "TIMED_OUT"


def test_cancel_ends_a_child_that_does_not_listen(child: Child) -> None:
    outcome = child.run(
        'import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); say("progress", stage="import"); time.sleep(3600)',
        lambda: bool(child.events),
        grace_s=2,
    )
    assert code(outcome) == "CANCELED"
    assert outcome.failure is not None
    assert outcome.failure.stage == Stage.IMPORT


def test_should_stop_is_asked_again_and_again(child: Child) -> None:
    asked: list[bool] = []

    def should_stop() -> bool:
        asked.append(False)
        if len(asked) == 4:
            (child.folder / "enough").touch()
        return False

    program = f"while not os.path.exists({str(child.folder / 'enough')!r}): time.sleep(0.02)"
    assert child.run(program + '\nsay("done")', should_stop).ok


GRANDCHILD = """
import subprocess
try:
    subprocess.Popen([sys.executable, "-c", "import os, time; os.setsid(); time.sleep(3600)"], start_new_session=True)
except OSError:
    pass
say("layer", started=True)
"""


HANG = "time.sleep(3600)"


@pytest.mark.parametrize("end", ['say("done")', "os.abort()", HANG], ids=["done", "crash", "hang"])
def test_nothing_is_left_running(child: Child, end: str) -> None:
    before = set(psutil.pids())
    child.run(GRANDCHILD + end, lambda: end == HANG and bool(child.events))
    assert child.events
    left = [process for process in psutil.process_iter(["cmdline"]) if process.pid not in before]
    left = [process for process in left if "os.setsid()" in str(process.info["cmdline"])]
    until(lambda: not any(alive(process.pid) for process in left))  # the system takes its time over that


def test_an_exception_of_the_caller_ends_the_child(child: Child) -> None:
    def should_stop() -> bool:
        if child.events:
            raise KeyboardInterrupt
        return False

    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(KeyboardInterrupt):
        child.run('say("layer", pid=os.getpid()); time.sleep(3600)', should_stop)
    assert set(psutil.Process().children(recursive=True)) <= before


def test_garbage_on_the_output_goes_to_the_log(child: Child) -> None:
    outcome = child.run("""
        print("[ INFO ] a library talks")
        print('{"event": "progress", "stage": "no such stage"}')
        print('{"event": "layer", "relative_error": NaN}')
        sys.stdout.buffer.write(b"\\xff\\xfe\\n")
        print("[" * 100_000)
        say("done")
    """)
    assert outcome.ok
    assert child.events == []
    assert "a library talks" in child.log
    assert "no such stage" in child.log


def test_endless_output_is_ended(child: Child) -> None:
    assert code(child.run('while True: sys.stdout.write("x" * 65536)')) == "CRASHED"


def test_the_log_has_a_beginning_an_end_and_a_ceiling(child: Child) -> None:
    child.run("""
        sys.stderr.write("first\\n")
        for _ in range(20): sys.stderr.write("x" * (1 << 20))
        sys.stderr.write("last")
        say("done")
    """)
    assert child.log.startswith("first\n")
    assert child.log.endswith("last")
    assert len(child.log) < 9 << 20


def test_temporary_files_go_with_the_job(child: Child) -> None:
    child.run('import tempfile; f = tempfile.mkstemp(); say("layer", file=f[1]); say("done")')
    file = Path(str(child.events[0]["file"]))
    assert file.is_relative_to(child.folder)
    assert not file.parent.exists()


def test_our_secrets_stay_ours(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACTUNE_BROKER_URL", "redis://:hunter2@host")
    child.run('say("layer", environment=dict(os.environ))')
    assert "hunter2" not in json.dumps(child.events)


def test_modules_are_not_imported_from_the_folder_of_the_job(child: Child) -> None:
    (child.folder / "colorsys.py").write_text("raise SystemExit('hostile')")
    assert child.run('import colorsys; say("done")').ok


def test_a_server_of_the_machine_is_out_of_reach_where_the_platform_allows(child: Child) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        outcome = child.run(f"""
            import socket
            try:
                reached = socket.socket().connect_ex(("127.0.0.1", {server.getsockname()[1]})) == 0
            except OSError:
                reached = False
            say("layer", reached=reached)
            say("done")
        """)
    assert child.events[0]["reached"] == ("network" in outcome.missing)


def test_the_first_account_of_the_layers_counts(child: Child) -> None:
    honest = child.run('say("done")').missing
    assert child.run('say("sandbox", missing=["files"]); say("sandbox", missing=[]); say("done")').missing == honest


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_the_child_dies_with_its_parent(tmp_path: Path) -> None:
    program = f"""
        import sys
        from pathlib import Path
        from workers.jobs.job import Kind, JobTask
        from workers.worker.sandbox import run_sandboxed
        from workers.settings import Limits
        command = [sys.executable, "-c", {SAY!r} + 'say("layer", name="here"); time.sleep(3600)']
        tell = lambda event: print(event["name"], flush=True)
        run_sandboxed(JobTask(Kind.INSPECT, "m", "o"), Path({str(tmp_path)!r}), Limits(), tell, command=command)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "here\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        parent.kill()
    assert children
    until(lambda: not any(alive(process.pid) for process in children))


def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    task = JobTask(Kind.INSPECT, model="m", out="o")
    assert code(run_sandboxed(task, tmp_path, Limits(), lambda _: None, command=["/no/such/program"])) == "INTERNAL"


def test_the_disk_of_a_job_is_watched(child: Child) -> None:
    program = """
        for n in range(64):
            open(f"part{n}", "wb").write(bytes(1 << 20))
        time.sleep(3600)
    """
    assert code(child.run(program, disk=32 << 20)) == "OUT_OF_DISK"


def test_what_a_job_leaves_for_others_is_watched_too(child: Child, tmp_path_factory: pytest.TempPathFactory) -> None:
    child.cache = str(tmp_path_factory.mktemp("cache"))
    program = f"""
        for n in range(64):
            open(f"{child.cache}/part{{n}}", "wb").write(bytes(1 << 20))
        time.sleep(3600)
    """
    assert code(child.run(program, disk=32 << 20)) == "OUT_OF_DISK"


def test_folders_too_deep_to_name_end_the_job_and_go(child: Child) -> None:
    program = """
        os.chdir("tmp")
        for n in range(1100):
            os.mkdir("d" * 9)
            os.chdir("d" * 9)
        time.sleep(3600)
    """
    assert code(child.run(program)) == "CRASHED"
    assert not (child.folder / "tmp").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_threads_of_a_job_are_counted(child: Child) -> None:
    program = """
        import threading
        threading.stack_size(65536)
        try:
            for _ in range(400):
                threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        except RuntimeError:
            pass
        time.sleep(3600)
    """
    assert code(child.run(program, processes=100, wall_clock_s=10)) in ("CRASHED", "TIMED_OUT")
