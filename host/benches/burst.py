"""The burst of `speed/burst.rs` for APScheduler 3.11: N jobs, all due since a second, each once.

Prints the seconds from the scheduler's start to the end of the last job, and those of processor
time. Memory store, thread pool of the size that APScheduler gives it, a function that does nothing
but count.
"""

import itertools
import sys
import threading
import time
from datetime import datetime, timedelta, timezone

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger

SINCE = timedelta(seconds=1)


def main(jobs: int) -> None:
    calls = itertools.count(1)
    all_called = threading.Event()

    def noop() -> None:
        if next(calls) == jobs:
            all_called.set()

    scheduler = BackgroundScheduler(timezone=timezone.utc)
    scheduler.start(paused=True)
    due = DateTrigger(datetime.now(timezone.utc) - SINCE)
    for number in range(jobs):
        scheduler.add_job(noop, due, id=f"job-{number}", misfire_grace_time=None)
    start, processor = time.perf_counter(), time.process_time()
    scheduler.resume()
    all_called.wait()
    print(time.perf_counter() - start, time.process_time() - processor)
    scheduler.shutdown()


main(int(sys.argv[1]))
