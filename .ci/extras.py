"""Print the requirements of every extra, for an environment in which the package is built from source."""

from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10 and older
    from pip._vendor import tomli as tomllib

extras = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
print("\n".join(requirement.replace(" ", "") for requirements in extras.values() for requirement in requirements))  # noqa: T201
