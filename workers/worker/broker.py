"""The queue: a Celery application that carries job ids to workers, and nothing else.

A message is a hint, the job's row is the truth: a lost message is sent again, a second one finds the job taken. So messages
are acknowledged early, results are not kept, and no setting has to guess how long a job may run. Parts of a job are hints, too:
the worker that has the job does what nobody else has done.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from celery import Celery, chain, group
from kombu.exceptions import OperationalError

from workers.errors import Unavailable
from workers.jobs.store import Store
from workers.settings import Settings

QUEUE = "fractune"  # of jobs that any worker may do; "fractune.isa=avx2" and so on are those of the classes of workers
RUN_JOB = "fractune.run_job"
HELP = "fractune.help"
PART = "fractune.part"
LATER = 9  # priority of parts: a job that waits goes first, whose messages have 0
RETRY = {"max_retries": 1, "interval_start": 0, "interval_max": 0.1}


def make_celery(settings: Settings) -> Celery:
    """The Celery application of a process; connects at first use."""
    celery = Celery("fractune", broker=verified(settings.broker), set_as_current=False)
    celery.conf.update(
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=False,
        task_publish_retry_policy=RETRY,
        broker_connection_max_retries=None,  # a worker waits for its broker as long as it takes
        broker_connection_retry_on_startup=True,
        broker_transport_options={"socket_connect_timeout": 3, "socket_timeout": 10, "health_check_interval": 10},
        worker_pool="prefork",
        worker_pool_start_method="fork",
        worker_concurrency=1,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,  # a message taken while busy would wait here though another worker is idle
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    return celery


def enqueue(celery: Celery, job_id: str, runs_on: str | None = None) -> None:
    """Tell some worker of a job, one of the class `runs_on` if given. Raises Unavailable."""
    with broker_errors():
        celery.send_task(RUN_JOB, (job_id,), queue=queue(runs_on))


def call_for_help(celery: Celery, job_id: str, attempt: int, helpers: int, runs_on: str | None) -> None:
    """Ask so many workers to help with a running job. Raises Unavailable."""
    with broker_errors():
        for _ in range(helpers):
            celery.send_task(HELP, (job_id, attempt), queue=queue(runs_on))


def share_candidates(
    celery: Celery, job_id: str, attempt: int, levels: Sequence[int], workers: int, runs_on: str | None
) -> None:
    """Have up to so many workers at once solve candidates of a running job, one after another each. Raises Unavailable."""
    options = {"queue": queue(runs_on), "priority": LATER}
    parts = [celery.signature(PART, (job_id, attempt, level), immutable=True, options=options) for level in levels]
    with broker_errors():
        group([chain(parts[first::workers]) for first in range(workers)], app=celery).apply_async()


def announce_job(celery: Celery, store: Store, job_id: str) -> None:
    """Tell a worker that may do it of a job. Raises NotFound, Unavailable."""
    enqueue(celery, job_id, store.jobs.get(job_id).runs_on)


def depth(celery: Celery, runs_on: str | None = None) -> int:
    """How many messages wait, for any worker or for those of one class. Raises Unavailable."""
    with broker_errors(), celery.connection_for_read() as connection:
        connection.ensure_connection(**RETRY)
        return int(connection.default_channel.queue_declare(queue(runs_on)).message_count)


def queue(runs_on: str | None) -> str:
    """The queue of a class of workers, `label=value`, or of all."""
    return QUEUE if runs_on is None else f"{QUEUE}.{runs_on}"


def queues(labels: Mapping[str, str], dedicated: bool) -> list[str]:
    """What a worker with these labels listens to; a dedicated one leaves alone what any worker may do."""
    own = [queue(f"{label}={value}") for label, value in labels.items()]
    return own if dedicated else [QUEUE, *own]


@contextmanager
def broker_errors() -> Iterator[None]:
    """Whatever keeps us from the broker, as Unavailable."""
    try:
        yield
    except OperationalError as error:
        raise Unavailable(f"The message broker does not answer: {error}") from error


def verified(url: str) -> str:
    """`url` with the server's certificate verified if it is a TLS one: left to itself, rediss:// verifies nothing."""
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return url
    query = dict(parse_qsl(parts.query)) | {"ssl_cert_reqs": "required"}
    return urlunsplit(parts._replace(query=urlencode(query)))
