"""The task of `celery_redis.py`. Broker and provider come from the environment."""

import os

import celery
import requests

app = celery.Celery("bench", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    task_ignore_result=True,
    # A worker that dies loses no message: without both, those that it has taken are gone.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
)

#: One for each process of the worker; it keeps its connection.
_session = requests.Session()


@app.task(bind=True)  # type: ignore[untyped-decorator]  # Celery has no types
def send(self: celery.Task, to: str, text: str) -> None:
    """One message to the provider."""
    body = {"to": to, "text": text, "ref": self.request.id}
    answer = _session.post(f"{os.environ['BENCH_PROVIDER']}/v1/send", json=body, timeout=30)
    answer.raise_for_status()
    answer.json()
