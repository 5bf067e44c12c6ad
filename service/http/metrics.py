"""Figures for Prometheus: those of jobs out of the store, true for all processes; those of requests out of this process."""

import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.errors import Unavailable
from workers.jobs.store import Store


class JobCollector(Collector):
    """Asks the store and the queue at every scrape; a part that does not answer is left out."""

    def __init__(self, store: Store, depth: Callable[[str | None], int]) -> None:
        self._store = store
        self._depth = depth

    def collect(self) -> Iterator[Metric]:
        """The figures as they stand."""
        for part in (self._jobs, self._failures, self._stages, self._workers, self._deliveries, self._queue):
            try:
                yield part()
            except Unavailable:
                continue

    def _jobs(self) -> Metric:
        family = GaugeMetricFamily("fractune_jobs", "Jobs by kind and state.", labels=["kind", "state"])
        for labels, count in self._store.figures.jobs().items():
            family.add_metric(labels, count)
        return family

    def _failures(self) -> Metric:
        family = GaugeMetricFamily("fractune_failed_jobs", "Failed jobs by code.", labels=["code"])
        for code, count in self._store.figures.failures().items():
            family.add_metric([code], count)
        return family

    def _stages(self) -> Metric:
        family = SummaryMetricFamily("fractune_stage_seconds", "Time spent by stage of ended jobs.", labels=["stage"])
        for stage, spent in self._store.figures.stages().items():
            family.add_metric([stage], spent.count, spent.seconds)
        return family

    def _workers(self) -> Metric:
        family = GaugeMetricFamily("fractune_worker_silent_seconds", "Since its last sign of life.", labels=["worker"])
        for worker in self._store.workers.list():
            family.add_metric([worker.id], worker.silent_s)
        return family

    def _deliveries(self) -> Metric:
        family = GaugeMetricFamily("fractune_webhook_deliveries", "Webhook deliveries by state.", labels=["state"])
        for state, count in self._store.figures.deliveries().items():
            family.add_metric([state], count)
        return family

    def _queue(self) -> Metric:
        classes = {None, *self._store.leases.waiting()}  # each has a queue of its own
        waiting = sum(map(self._depth, classes))
        return GaugeMetricFamily("fractune_queue_messages", "Messages that wait for a worker, of any class.", value=waiting)


class TaskCollector(Collector):
    """How often a task of this process has ended unexpectedly; any at all is a fault of ours."""

    def __init__(self, failures: Mapping[str, int]) -> None:
        self._failures = failures

    def collect(self) -> Iterator[Metric]:
        """The figures as they stand."""
        family = CounterMetricFamily("fractune_background_failures", "Rounds of background tasks that failed.", labels=["task"])
        for name, count in self._failures.items():
            family.add_metric([name], count)
        yield family


class Metrics:
    """The registry of one application."""

    def __init__(self, store: Store, depth: Callable[[str | None], int], task_failures: Mapping[str, int]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(JobCollector(store, depth))
        self._registry.register(TaskCollector(task_failures))
        self.requests = Histogram(
            "fractune_http_request_seconds", "Time to answer.", ["method", "route", "status"], registry=self._registry
        )

    def __call__(self) -> tuple[bytes, str]:
        """The exposition and its media type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class Stopwatch:
    """ASGI middleware: times every request up to the start of its response."""

    def __init__(self, app: ASGIApp, requests: Histogram) -> None:
        self._app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "")
                self._requests.labels(scope["method"], route, message["status"]).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, note if scope["type"] == "http" else send)
