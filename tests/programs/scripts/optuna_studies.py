"""Optuna with its studies in the database."""

import os
import time

import optuna
from sqlalchemy import NullPool

optuna.logging.set_verbosity(optuna.logging.WARNING)
storage = optuna.storages.RDBStorage(url=os.environ["DATABASE_URL"], engine_kwargs={"poolclass": NullPool})
study = optuna.create_study(storage=storage, study_name="parabola")
end = time.monotonic() + float(os.environ["SECONDS"])
number = 0
while time.monotonic() < end:
    number += 1
    study.optimize(lambda trial: trial.suggest_float("x", -1, 1) ** 2, n_trials=1)
    time.sleep(0.2)
assert len(optuna.load_study(storage=os.environ["DATABASE_URL"], study_name="parabola").trials) == number
print("done")
