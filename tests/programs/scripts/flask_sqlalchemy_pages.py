"""A Flask application on Flask-SQLAlchemy."""

import os
import time

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import NullPool

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"poolclass": NullPool}
db = SQLAlchemy(app)


class Note(db.Model):
    """A row."""

    id = db.Column(db.Integer, primary_key=True)
    words = db.Column(db.String)


@app.get("/add")
def add() -> str:
    """Add a note, and count them."""
    db.session.add(Note(words="a"))
    db.session.commit()
    return str(db.session.query(Note).count())


with app.app_context():
    db.create_all()
client = app.test_client()
end = time.monotonic() + float(os.environ["SECONDS"])
number = 0
while time.monotonic() < end:
    number += 1
    assert client.get("/add").text == str(number)
    time.sleep(0.2)
print("done")
