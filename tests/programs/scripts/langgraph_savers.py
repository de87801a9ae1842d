"""LangGraph's checkpointers, synchronous and asynchronous, on pools of this package's connections."""

import asyncio
import os
import time
from typing import TypedDict

from azure_postgresql_auth.psycopg3 import AsyncEntraConnection, EntraConnection
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

SERVER = f"postgresql://{os.environ['PLACE']}"
SETTINGS = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
SECONDS = float(os.environ["SECONDS"])


class State(TypedDict):
    """What the graph counts."""

    count: int


graph = StateGraph(State)
graph.add_node("add", lambda state: {"count": state["count"] + 1})
graph.add_edge(START, "add")
graph.add_edge("add", END)


def synchronous() -> None:
    """Save in threads."""
    with ConnectionPool(
        SERVER, connection_class=EntraConnection, kwargs=SETTINGS, min_size=1, max_size=2, max_lifetime=0.5
    ) as pool:
        saver = PostgresSaver(pool)
        saver.setup()
        application = graph.compile(checkpointer=saver)
        end = time.monotonic() + SECONDS / 2
        while time.monotonic() < end:
            application.invoke({"count": 1}, {"configurable": {"thread_id": "1"}})
            time.sleep(0.2)
        assert application.get_state({"configurable": {"thread_id": "1"}}).values == {"count": 2}


async def asynchronous() -> None:
    """Save on an event loop."""
    async with AsyncConnectionPool(
        SERVER, connection_class=AsyncEntraConnection, kwargs=SETTINGS, min_size=1, max_size=2, max_lifetime=0.5
    ) as pool:
        application = graph.compile(checkpointer=AsyncPostgresSaver(pool))
        end = time.monotonic() + SECONDS / 2
        while time.monotonic() < end:
            await application.ainvoke({"count": 2}, {"configurable": {"thread_id": "2"}})
            await asyncio.sleep(0.2)
        state = await application.aget_state({"configurable": {"thread_id": "2"}})
        assert state.values == {"count": 3}


synchronous()
asyncio.run(asynchronous())
print("done")
