"""The burst of `speed/fleet/rivals.rs` for Celery 5.7: N tasks that wait in its Redis queue.

Prints the seconds from when the worker takes the first task to when the queue is empty and all are
acknowledged, and those of processor time of all its processes. As many processes as the machine has
processors, which is what Celery takes by itself; no results are kept.
"""

import os
import resource
import subprocess
import sys
import time

from celery import Celery
from redis import Redis

PORT, DB = os.environ.get("BURST_PORT", "6379"), os.environ.get("BURST_DB", "0")
app = Celery("celery_burst", broker=f"redis://127.0.0.1:{PORT}/{DB}")
app.conf.task_ignore_result = True
app.conf.worker_hijack_root_logger = False


@app.task
def noop() -> None:
    pass


def main(port: str, db: str, tasks: int) -> None:
    app.conf.broker_url = f"redis://127.0.0.1:{port}/{db}"
    with app.pool.acquire() as connection, app.amqp.Producer(connection) as producer:
        for _ in range(tasks):
            noop.apply_async(producer=producer)
    server = Redis(port=int(port), db=int(db))
    assert server.llen("celery") == tasks
    words = ["-m", "celery", "-A", "celery_burst", "worker", "--loglevel", "ERROR"]
    words += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    environment = {**os.environ, "BURST_PORT": port, "BURST_DB": db}
    here = os.path.dirname(os.path.abspath(__file__))
    worker = subprocess.Popen(
        [sys.executable, *words], cwd=here, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        while server.llen("celery") == tasks:
            if worker.poll() is not None:
                sys.exit("the worker ended before it began")
            time.sleep(0.001)
        start = time.perf_counter()
        while server.llen("celery") + server.hlen("unacked"):
            time.sleep(0.005)
        took = time.perf_counter() - start
    finally:
        worker.terminate()
        worker.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(took, used.ru_utime + used.ru_stime)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
