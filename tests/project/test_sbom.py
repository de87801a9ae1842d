"""The SBOM of a wheel lists what that wheel was built from."""

from __future__ import annotations

import json
from typing import Any

import cargo
import pytest
import sbom

INDEX = "registry+https://github.com/rust-lang/crates.io-index#"
PACKAGE = "path+file:///home/builder/azure_postgresql_auth#0.1.0"


def component(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:cargo/{name}@{version}"
    addresses = [{"type": "website", "url": "https://crate.test"}]
    return {"bom-ref": f"{INDEX}{name}@{version}", "name": name, "version": version, "purl": purl} | {
        "externalReferences": addresses
    }


def written(number: str, crates: list[tuple[str, str]]) -> bytes:
    """Return what cargo-cyclonedx writes."""
    components = [component(*crate) for crate in crates]
    package = {"bom-ref": PACKAGE, "purl": "pkg:cargo/azure-postgresql-auth-rs@0.1.0?download_url=file:///home/builder"}
    return json.dumps(
        {
            "serialNumber": f"urn:uuid:{number}",
            "metadata": {"timestamp": number, "component": package, "properties": []},
            "components": components,
            "dependencies": [
                {"ref": PACKAGE, "dependsOn": [each["bom-ref"] for each in components]},
                *({"ref": each["bom-ref"]} for each in components),
            ],
        }
    ).encode()


def test_crates_of_other_platforms_are_left_out() -> None:
    on_linux, on_windows = (
        sorted(cargo.tree("normal", "x86_64-unknown-linux-gnu")),
        sorted(cargo.tree("normal", "x86_64-pc-windows-msvc")),
    )
    (nix,) = (crate for crate in on_linux if crate[0] == "nix")
    (windows,) = (crate for crate in on_windows if crate[0] == "windows")
    text = written("1", [(nix[0], nix[1]), (windows[0], windows[1])])
    for platform, (name, version) in (("manylinux2014_x86_64.manylinux_2_17_x86_64", nix), ("win_amd64", windows)):
        cleaned = json.loads(sbom.cleaned(text, platform))
        assert [each["purl"] for each in cleaned["components"]] == [f"pkg:cargo/{name}@{version}"]
        assert cleaned["dependencies"] == [
            {"ref": "pkg:cargo/azure-postgresql-auth-rs@0.1.0", "dependsOn": [f"pkg:cargo/{name}@{version}"]},
            {"ref": f"pkg:cargo/{name}@{version}"},
        ]


def test_two_builds_of_a_commit_have_the_same_one_which_names_no_folder() -> None:
    first, second = (sbom.cleaned(written(number, []), "musllinux_1_2_aarch64") for number in ("1", "2"))
    assert first == second
    assert b"file:" not in first


@pytest.mark.parametrize("platform", ["any", "linux_riscv64", "plan9_x86_64"])
def test_unknown_platforms_are_refused(platform: str) -> None:
    with pytest.raises(SystemExit, match=platform):
        sbom.rust_target(platform)
