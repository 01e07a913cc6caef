"""The burst of `speed/fleet/rivals.rs` for APScheduler 3.11 with its Redis store: N jobs, all due
since a second, each once.

Prints the seconds from the scheduler's start to the end of the last job, and those of processor
time. Thread pool of the size that APScheduler gives it, a function that does nothing but count.
"""

import itertools
import logging
import sys
import threading
import time
from datetime import datetime, timedelta, timezone

from apscheduler.jobstores.redis import RedisJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger

SINCE = timedelta(seconds=1)

calls = itertools.count(1)
all_called = threading.Event()
wanted = 0


def noop() -> None:
    if next(calls) == wanted:
        all_called.set()


def main(port: int, db: int, jobs: int) -> None:
    global wanted
    wanted = jobs
    # It warns of each job that is late.
    logging.getLogger("apscheduler").setLevel(logging.CRITICAL)
    store = RedisJobStore(host="127.0.0.1", port=port, db=db)
    scheduler = BackgroundScheduler(timezone=timezone.utc, jobstores={"default": store})
    scheduler.start(paused=True)
    due = DateTrigger(datetime.now(timezone.utc) - SINCE)
    for number in range(jobs):
        scheduler.add_job(noop, due, id=f"job-{number}", misfire_grace_time=None)
    start, processor = time.perf_counter(), time.process_time()
    scheduler.resume()
    all_called.wait()
    print(time.perf_counter() - start, time.process_time() - processor)
    scheduler.shutdown()


main(*(int(word) for word in sys.argv[1:]))
