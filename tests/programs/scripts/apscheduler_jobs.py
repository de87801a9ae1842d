"""APScheduler with its jobs in the database."""

import os
import time

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import NullPool

ran = []


def job() -> None:
    """Be a job."""
    ran.append(time.monotonic())


store = SQLAlchemyJobStore(url=os.environ["DATABASE_URL"], engine_options={"poolclass": NullPool})
scheduler = BackgroundScheduler(jobstores={"default": store})
scheduler.add_job("__main__:job", "interval", seconds=0.5)
scheduler.start()
time.sleep(float(os.environ["SECONDS"]))
scheduler.shutdown()
assert len(ran) > 3, ran
print("done")
