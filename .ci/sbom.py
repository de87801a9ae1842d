"""The SBOM of a wheel: what this wheel was built from, the same bytes for every build of a commit."""

from __future__ import annotations

import json
import re
from typing import Any

import cargo

NAME = "azure-postgresql-auth-rs"
SYSTEMS = {
    "manylinux": "unknown-linux-gnu",
    "linux": "unknown-linux-gnu",
    "musllinux": "unknown-linux-musl",
    "macosx": "apple-darwin",
    "win": "pc-windows-msvc",
}
"""Ends of Rust's names for targets, by the beginning of a wheel's platform tag."""
PROCESSORS = {"amd64": "x86_64", "arm64": "aarch64"}
"""Rust's names of processors, where a platform tag has another."""


def cleaned(sbom: bytes, platform: str) -> bytes:
    """Return the SBOM that maturin has written, for the wheel with this platform tag.

    cargo-cyclonedx lists the crates of all platforms, names the package by the path of the build folder (its issue
    556), and adds the time and a number of this run. Addresses and descriptions, which a registry has, are left out,
    and references are package URLs, so that it is a third as long.
    """
    sbom = re.sub(rb'path\+file://[^"]*?#(?:[\w-]+@)?(\d[^" ]*)', rf"pkg:cargo/{NAME}@\1".encode(), sbom)
    sbom = re.sub(rb'\?download_url=file:[^"#]*', b"", sbom)
    content = json.loads(sbom)
    target = rust_target(platform)
    # Build scripts and macros run in the build, so they belong to what a wheel was built from.
    present = cargo.tree("normal,build", target)
    listed = {each["bom-ref"]: each for each in content["components"]}
    names = {ref: each["purl"] for ref, each in listed.items() if (each["name"], each["version"]) in present}
    for each in listed.values():
        each.pop("externalReferences", None)
        each.pop("description", None)
    content["components"] = [{**listed[ref], "bom-ref": name} for ref, name in names.items()]
    content["dependencies"] = [
        _renamed(each, names) for each in content["dependencies"] if each["ref"] in names or each["ref"] not in listed
    ]
    content["metadata"]["properties"] = [{"name": "cdx:rustc:sbom:target:triple", "value": target}]
    del content["metadata"]["timestamp"], content["serialNumber"]
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def _renamed(dependency: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    on = [names[ref] for ref in dependency.get("dependsOn", ()) if ref in names]
    return {"ref": names.get(dependency["ref"], dependency["ref"]), **({"dependsOn": on} if on else {})}


def rust_target(platform: str) -> str:
    """Return Rust's name for a wheel's platform.

    >>> rust_target("manylinux2014_x86_64.manylinux_2_17_x86_64")
    'x86_64-unknown-linux-gnu'
    >>> rust_target("macosx_11_0_arm64")
    'aarch64-apple-darwin'
    """
    matched = re.match(r"([a-z]+).*?_(x86_64|aarch64|arm64|amd64)(?:\.|$)", platform)
    if matched is None or matched[1] not in SYSTEMS:
        message = f"no target of Rust's is known for the platform {platform}"
        raise SystemExit(message)
    return f"{PROCESSORS.get(matched[2], matched[2])}-{SYSTEMS[matched[1]]}"
