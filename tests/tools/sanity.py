# Copyright (c) 2026, The keysmith.mongodb authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`make sanity`: run ansible-test sanity on every available ansible-core, two at a time.

The oldest and the newest compile and import modules on every Python, the others only on their own:
what modules import from ansible-core differs little between versions. If all versions are checked,
the newest leaves out the Pythons of the oldest, because `make versions` runs modules on all of them
with both, and those between run only the tests that load the collection with ansible-core.

Each ansible-core has an environment and a copy of the collection, including uncommitted changes,
at a path that ansible-test accepts. Everything stays in .cache/sanity. The copy has no tests: they
are not in the built collection, and `make lint` checks them with ruff and mypy. With them,
ansible-test takes more than twice as long, most of it in pylint.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "sanity"

# The Pythons for each ansible-core, in order of preference.
CORES = {
    "2.16": ("3.11", "3.12", "3.10"),
    "2.17": ("3.11", "3.12", "3.10"),
    "2.18": ("3.11", "3.12", "3.13"),
    "2.19": ("3.11", "3.12", "3.13"),
    "2.20": ("3.13", "3.12", "3.14"),
    "2.21": ("3.13", "3.12", "3.14"),
}
ENDS = ("2.16", "2.21")
# The tests that load the collection with ansible-core. The others run linters on its files, which
# differ little between versions.
LOADING = ("ansible-doc", "import", "validate-modules")
# Not a default, because it is not in a package index.
DEVEL = "devel"
DEVEL_PYTHONS = ("3.13", "3.14")
DEVEL_SOURCE = "https://github.com/ansible/ansible/archive/devel.tar.gz"
# The Pythons on ansible-test's PATH, for which it compiles and imports modules.
TARGETS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
# The newest Python for modules of an ansible-core that does not support all of them.
NEWEST_TARGET = {"2.16": "3.12"}
# The only file of tests that ansible-test needs: its settings.
SETTINGS = Path("tests", "config.yml")
WORKERS = min(2, os.cpu_count() or 1)

# Replaces the get-pip.py that ansible-test downloads to its home. The pip that comes with Python is
# unpacked once, and each of the many environments of ansible-test gets a link to it. This needs no
# other host than the package index, and saves seconds of installing and compiling in each.
GET_PIP = """\
import ensurepip, pathlib, runpy, sys, sysconfig, zipfile

folders = [pathlib.Path(ensurepip.__file__).with_name("_bundled")]
if getattr(ensurepip, "_WHEEL_PKG_DIR", None):  # Debian and Fedora keep it elsewhere
    folders.append(pathlib.Path(ensurepip._WHEEL_PKG_DIR))
wheel = next(wheel for folder in folders for wheel in folder.glob("pip-*.whl"))
unpacked = pathlib.Path(__file__).with_name(wheel.stem)
if not unpacked.exists():
    partial = unpacked.with_name(f"{wheel.stem}.partial")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(partial)
    partial.rename(unpacked)
pathlib.Path(sysconfig.get_path("purelib"), "pip").symlink_to(unpacked / "pip")
others = [a for a in sys.argv[1:] if a.startswith(("setuptools==", "wheel=="))]
if others:
    sys.argv = ["pip", "install", "--disable-pip-version-check", *others]
    runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


@dataclasses.dataclass(frozen=True)
class Core:
    version: str
    python: str
    interpreter: Path
    only_loads: bool
    # The Pythons on which ansible-test finds modules to compile and import.
    targets: tuple[Path, ...]

    @property
    def environment(self) -> Path:
        return CACHE / f"core-{self.version}"

    @property
    def tree(self) -> Path:
        base = CACHE / f"tree-{self.version}"
        return base / "ansible_collections" / "keysmith" / "mongodb"

    @property
    def home(self) -> Path:
        return CACHE / f"home-{self.version}"

    @property
    def log(self) -> Path:
        return CACHE / f"core-{self.version}.log"


@dataclasses.dataclass(frozen=True)
class Result:
    core: Core
    problem: str
    seconds: float


def path_without_shims() -> list[Path]:
    folders = (Path(p) for p in os.environ.get("PATH", os.defpath).split(os.pathsep) if p)
    return [folder for folder in folders if folder.name != "shims"]


def find_pythons() -> dict[str, Path]:
    """Return every working Python by version; the shims of version managers may not work."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    folders = path_without_shims() + sorted(pyenv.glob("versions/*/bin"))
    found: dict[str, Path] = {}
    for version in TARGETS:
        for folder in folders:
            python = folder / f"python{version}"
            if python.exists() and has_venv(python):
                found[version] = python
                break
    return found


def has_venv(python: Path) -> bool:
    probe = [str(python), "-c", "import ensurepip, venv"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def project_files() -> list[Path]:
    """Return the files that git tracks or would add; without git, those that are not hidden."""
    command = ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"]
    try:
        listing = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        paths = [Path(name) for name in listing.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        paths = []
        for folder, subfolders, names in os.walk(ROOT):
            subfolders[:] = [
                name for name in subfolders if not name.startswith((".", "__pycache__"))
            ]
            paths += [Path(folder, name).relative_to(ROOT) for name in names]
    return [p for p in paths if (ROOT / p).is_symlink() or (ROOT / p).is_file()]


def copy_project(paths: Iterable[Path], tree: Path) -> None:
    """Replace the copy, except tests/output, where ansible-test keeps an environment."""
    kept = tree / "tests" / "output"
    aside = tree.parent / "output"
    shutil.rmtree(aside, ignore_errors=True)
    if kept.exists():
        kept.rename(aside)
    shutil.rmtree(tree, ignore_errors=True)
    for path in paths:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, tree / path, follow_symlinks=False)
    if aside.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        aside.rename(kept)
    # Otherwise ansible-test would use the surrounding checkout, which ignores .cache.
    if shutil.which("git"):
        subprocess.run(["git", "init", "--quiet", str(tree)], check=True, capture_output=True)


def create_environment(folder: Path, interpreter: Path, wanted: Sequence[str]) -> None:
    """Create a virtual environment without pip, and install packages with uv, which is faster."""
    environ = dict(os.environ)
    if "PIP_INDEX_URL" in environ:
        environ.setdefault("UV_DEFAULT_INDEX", environ["PIP_INDEX_URL"])
    uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python"]
    commands = [[str(interpreter), "-m", "venv", "--without-pip", str(folder)]]
    if wanted:
        commands.append([*uv, str(folder / "bin" / "python"), *wanted])
    for command in commands:
        subprocess.run(command, check=True, capture_output=True, text=True, env=environ)


def prepare(core: Core, paths: Iterable[Path]) -> None:
    """Create the environment, the copy, and a home for the caches of ansible-test."""
    ready = core.environment / "ready"
    if not ready.exists():
        shutil.rmtree(core.environment, ignore_errors=True)
        wanted = f"ansible-core=={core.version}.*" if core.version != DEVEL else DEVEL_SOURCE
        create_environment(core.environment, core.interpreter, [wanted])
        ready.touch()
    copy_project(paths, core.tree)
    code = "lib/python*/site-packages/ansible_test/_internal/python_requirements.py"
    source = next(core.environment.glob(code)).read_text(encoding="utf-8")
    match = re.search(r"\bpip='([0-9.]+)'", source)
    wanted_pip = match[1] if match else "unknown"
    cache = core.home / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / f"get_pip_{wanted_pip.replace('.', '_')}.py").write_text(GET_PIP, encoding="utf-8")
    # pip must find its settings and cache.
    for name in (".cache", ".config", ".netrc", ".pip"):
        if (Path.home() / name).exists() and not (core.home / name).is_symlink():
            (core.home / name).symlink_to(Path.home() / name)


def command_of(core: Core) -> list[str]:
    command = [str(core.environment / "bin" / "ansible-test"), "sanity", "--venv", "--color", "no"]
    if core.version in CORES and core.version not in ENDS:
        command += ["--python", core.python]
    if core.only_loads:
        command += [part for test in LOADING for part in ("--test", test)]
    return command


def choose_targets(version: str, pythons: dict[str, Path], *, is_alone: bool) -> tuple[Path, ...]:
    """Return the Pythons for modules of an ansible-core, oldest first."""
    if version == ENDS[1] and not is_alone:
        shared = TARGETS.index(NEWEST_TARGET[ENDS[0]])
        return tuple(path for name, path in pythons.items() if TARGETS.index(name) > shared)
    return tuple(pythons.values())


def run(core: Core) -> Result:
    started = time.monotonic()
    # ansible-test looks for pythonX.Y on the PATH, and must not find shims.
    path = [str(core.environment / "bin"), *(str(p.parent) for p in core.targets)]
    path += [str(folder) for folder in path_without_shims()]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "PYTHON"))}
    env |= {"HOME": str(core.home), "PATH": os.pathsep.join(dict.fromkeys(path))}
    with core.log.open("w", encoding="utf-8") as log:
        code = subprocess.run(
            command_of(core),
            cwd=core.tree,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    problem = f"ansible-test ended with {code}" if code else ""
    if "All targets skipped" in core.log.read_text(encoding="utf-8"):
        problem = "ansible-test saw no files"
    return Result(core, problem, time.monotonic() - started)


def check(core: Core, paths: Iterable[Path]) -> Result:
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        prepare(core, paths)
    except subprocess.CalledProcessError as error:
        core.log.write_text(f"{error.stdout}{error.stderr}", encoding="utf-8")
        return Result(core, "could not be installed", 0)
    return run(core)


def report(result: Result) -> None:
    core = result.core
    verdict = "FAILED" if result.problem else "ok"
    line = f"{core.version:6} Python {core.python:5} {verdict:7} {result.seconds:4.0f} s"
    print(line, flush=True)


def report_problems(results: list[Result]) -> None:
    """Print each finding once, with its versions."""
    findings: dict[str, list[str]] = {}
    for result in results:
        core = result.core
        lines = core.log.read_text(encoding="utf-8").splitlines()
        errors = [line[7:] for line in lines if line.startswith("ERROR: ")]
        errors = [line for line in errors if not line.startswith("Found ")] or lines[-40:]
        for line in [*errors, f"{result.problem}: {core.log.relative_to(ROOT)}"]:
            findings.setdefault(line, []).append(core.version)
    for line, versions in findings.items():
        print(f"{line} [{' '.join(sorted(versions))}]")


def main(wanted: list[str]) -> int:
    table = {**CORES, DEVEL: DEVEL_PYTHONS}
    unknown = [version for version in wanted if version not in table]
    if unknown:
        print(f"Unknown: {' '.join(unknown)}. There are: {' '.join(table)}")
        return 2
    pythons = find_pythons()
    missing = [version for version in TARGETS if version not in pythons]
    print(f"Modules run on Python {' '.join(pythons)}", end="")
    print(f"; not installed: {' '.join(missing)}" if missing else "", flush=True)

    cores = []
    skipped = []
    for version in wanted or CORES:
        python = next((p for p in table[version] if p in pythons), None)
        if python:
            only_loads = version not in ENDS and not wanted
            targets = choose_targets(version, pythons, is_alone=bool(wanted))
            cores.append(Core(version, python, pythons[python], only_loads, targets))
        else:
            skipped.append(f"{version} (needs Python {' or '.join(sorted(table[version]))})")

    paths = [p for p in project_files() if p.parts[0] != "tests" or p == SETTINGS]
    # The slowest first.
    cores.sort(key=lambda core: core.version not in ENDS)
    results: list[Result] = []
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        tasks = [pool.submit(check, core, paths) for core in cores]
        for task in concurrent.futures.as_completed(tasks):
            results.append(task.result())
            report(results[-1])

    failed = [result for result in results if result.problem]
    report_problems(failed)
    if skipped:
        print(f"Skipped because a suitable Python is missing: ansible-core {', '.join(skipped)}")
    passed = len(results) - len(failed)
    print(f"sanity: {passed} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 1 if failed or not results else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
