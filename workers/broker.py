"""The queue: a Celery application that carries job ids to workers, and nothing else.

A message is a hint, the job's row is the truth: a lost message is sent again, a second one finds the job taken. So messages
are acknowledged early, results are not kept, and no setting has to guess how long a job may run.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from celery import Celery
from kombu.exceptions import OperationalError

from workers.errors import Unavailable
from workers.settings import Settings

QUEUE = "fractune"
RUN_JOB = "fractune.run_job"
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


def enqueue(celery: Celery, job_id: str) -> None:
    """Tell some worker of a job. Raises Unavailable."""
    with broker_errors():
        celery.send_task(RUN_JOB, (job_id,))


def depth(celery: Celery) -> int:
    """How many messages wait. Raises Unavailable."""
    with broker_errors(), celery.connection_for_read() as connection:
        connection.ensure_connection(**RETRY)
        return int(connection.default_channel.queue_declare(QUEUE).message_count)


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
