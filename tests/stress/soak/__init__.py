"""Soak: every kind of client in a storm of faults, for hours.

    python -m tests.stress.soak [SECONDS [FOLDER]]

Tokens live for seconds. Meanwhile the identity service fails a third of the time, the server refuses, stalls and hangs
up, backends are killed, Azure's clock is set, disks are full and processes are stopped for longer than a token lives.

No login may fail while its token is good and the server is there, and no process may grow. The parts:

    load, forks            pools of psycopg, psycopg2 and asyncpg in a process; what it forks, and what exits
    site, tasks, clients   Django under gunicorn, Celery and the proxy, and the clients of these three
    storm, faults          what goes wrong, and when
    control                logins without the library, which tell how busy the machine is
    events                 what every process reports, and who reads it
    samples                memory, threads and descriptors of every process
    judgement              whether all of that is as it should be
"""
