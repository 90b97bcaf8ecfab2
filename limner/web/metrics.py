"""What Prometheus may ask of a server: its jobs, its queue, its requests, counted in a registry of its own."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from limner.service.values import KINDS, STATES, Job

TYPE = CONTENT_TYPE_LATEST
_JOB_SECONDS = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Metrics:
    """What one server counts."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        within = self._registry
        self._jobs = Counter("limner_jobs", "Jobs by kind and what became of them.", ("kind", "state"), registry=within)
        self._now = Gauge("limner_jobs_now", "Jobs that wait or run.", ("state",), registry=within)
        self._workers = Gauge("limner_workers", "Worker processes that are alive.", registry=within)
        self._pictures = Counter("limner_pictures_drawn", "Pictures that jobs drew.", registry=within)
        self._waited = Histogram(
            "limner_job_wait_seconds", "From submitting to the start.", ("kind",), registry=within, buckets=_JOB_SECONDS
        )
        self._took = Histogram(
            "limner_job_seconds", "From the start to the end.", ("kind",), registry=within, buckets=_JOB_SECONDS
        )
        self._requests = Counter(
            "limner_http_requests", "Requests by route and status.", ("route", "status"), registry=within
        )
        self._seconds = Histogram(
            "limner_http_seconds", "Seconds a request.", ("route",), registry=within, buckets=_REQUEST_SECONDS
        )
        for kind in KINDS:
            self._jobs.labels(kind, "queued")

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request; `route` is the pattern of its address, of which there are few."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def submitted(self, job: Job) -> None:
        """Count a job that was accepted."""
        self._jobs.labels(job.kind, "queued").inc()

    def ended(self, job: Job) -> None:
        """Count a job that has ended."""
        self._jobs.labels(job.kind, job.state).inc()
        if job.started is not None:
            self._waited.labels(job.kind).observe(max(0.0, job.started - job.created))
            if job.finished is not None:
                self._took.labels(job.kind).observe(max(0.0, job.finished - job.started))
        drawn = (job.result or {}).get("drawn")
        if isinstance(drawn, int):
            self._pictures.inc(drawn)

    def now(self, jobs: Iterable[Job], workers: int) -> None:
        """Say how many jobs there are in each state that has not ended, and how many workers."""
        states = [job.state for job in jobs]
        for state in STATES[:2]:
            self._now.labels(state).set(states.count(state))
        self._workers.set(workers)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
