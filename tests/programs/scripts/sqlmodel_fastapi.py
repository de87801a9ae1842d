"""SQLModel models behind a FastAPI application, which uvicorn serves."""

import json
import os
import socket
import threading
import time
import urllib.request

import uvicorn
from fastapi import FastAPI
from sqlalchemy import NullPool
from sqlmodel import Field, Session, SQLModel, create_engine, func, select


class Note(SQLModel, table=True):
    """A row."""

    id: int | None = Field(default=None, primary_key=True)
    words: str


engine = create_engine(os.environ["DATABASE_URL"], poolclass=NullPool)
app = FastAPI()
SQLModel.metadata.create_all(engine)


@app.post("/notes")
def add(note: Note) -> int:
    """Add a note, and count them."""
    with Session(engine) as session:
        session.add(note)
        session.commit()
        return session.exec(select(func.count()).select_from(Note)).one()


def main() -> None:
    """Serve the application, and ask it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        end, number = time.monotonic() + float(os.environ["SECONDS"]), 0
        while time.monotonic() < end:
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/notes", b'{"words": "a"}', {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=20) as answer:
                number += 1
                assert json.load(answer) == number
            time.sleep(0.2)
        server.should_exit = True
        thread.join()


if __name__ == "__main__":
    main()
    print("done")
