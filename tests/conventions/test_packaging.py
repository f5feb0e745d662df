"""What an engine for containers would tell us too late, and what must hold for the locks."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"), key=lambda path: path.name)
HASHED = [path for path in LOCKS if path.name != "constraints.txt"]


def _instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, continued lines joined, comments left out."""
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#")).replace("\\\n", " ")
    return [(words[0], words[1]) for line in text.splitlines() if len(words := line.split(None, 1)) == 2]


def _final_stage() -> list[tuple[str, str]]:
    instructions = _instructions()
    last = max(number for number, (name, _) in enumerate(instructions) if name == "FROM")
    return instructions[last:]


def _locked(path: Path) -> dict[str, str]:
    """Name to version of everything in a lock file."""
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)", path.read_text("utf-8"), re.MULTILINE))


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def test_the_image_is_built_in_stages_and_leaves_pip_behind() -> None:
    stages = [arguments for name, arguments in _instructions() if name == "FROM"]
    assert len(stages) == 2
    assert not [arguments for name, arguments in _final_stage() if name == "RUN" and "pip" in arguments]


def test_the_image_runs_as_a_numbered_user_that_is_not_root() -> None:
    users = [arguments for name, arguments in _final_stage() if name == "USER"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1])


@pytest.mark.parametrize(
    ("instruction", "expected"), [("ENTRYPOINT", ["collector"]), ("CMD", ["worker"]), ("STOPSIGNAL", None)]
)
def test_signals_reach_the_collector_and_not_a_shell(instruction: str, expected: list[str] | None) -> None:
    (arguments,) = [arguments for name, arguments in _final_stage() if name == instruction]
    assert arguments == "SIGTERM" if expected is None else json.loads(arguments) == expected


def test_the_health_check_needs_no_shell() -> None:
    (arguments,) = [arguments for name, arguments in _final_stage() if name == "HEALTHCHECK"]
    assert json.loads(arguments.partition("CMD ")[2]) == ["python", "-m", "worker.alive"]


def test_every_package_in_the_image_is_checked_against_a_hash() -> None:
    installs = re.findall(r"pip .*?install\s(.*?)(?:&&|\n)", "\n".join(f"{a} {b}" for a, b in _instructions()) + "\n")
    assert len(installs) == 3
    assert all("--require-hashes" in install or "--no-deps dist/" in install for install in installs)


def test_the_image_holds_no_servers_to_play_with() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extra = {_name(requirement) for requirement in project["project"]["optional-dependencies"]["embedded"]}
    assert "embedded" not in text
    assert not extra & _locked(ROOT / "requirements" / "run.txt").keys()


def test_what_the_image_copies_is_let_through_to_the_engine() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    copied = {
        source
        for name, arguments in _instructions()
        if name == "COPY" and not arguments.startswith("--from")
        for source in arguments.split()[:-1]
    }
    assert copied == allowed
    assert not [source for source in copied if not (ROOT / source).exists()]


def test_no_password_of_the_compose_file_has_a_default() -> None:
    variables = re.findall(r"\$\{([A-Z_]+)([^}]*)\}", (ROOT / "compose.yaml").read_text("utf-8"))
    assert {name for name, rest in variables if rest.startswith(":?")} == {name for name, _ in variables}
    assert not [rest for _, rest in variables if rest and not rest.startswith(":?")]


@pytest.mark.parametrize("lock", HASHED, ids=lambda path: path.name)
def test_a_lock_pins_everything_by_hash(lock: Path) -> None:
    entries = [entry for entry in re.split(r"\n(?=\S)", lock.read_text("utf-8").strip()) if entry]
    assert entries
    assert not [entry for entry in entries if not re.match(r"[a-z0-9._-]+==\S+ (; .*)?\\\n +--hash=sha256:", entry)]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_names_no_index_and_no_path(lock: Path) -> None:
    """Where packages come from is a matter of the machine that installs them."""
    assert not re.findall(r"(?m)://|^-|file:| @ |^/", lock.read_text("utf-8"))


def test_the_locks_hold_what_the_project_asks_for() -> None:
    """`make lock` after a change of the dependencies."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    runtime = {_name(requirement) for requirement in [*project["project"]["dependencies"], *extras["infisical"]]}
    extra = {_name(requirement) for requirement in extras["embedded"]}
    dev = {_name(requirement) for requirement in project["dependency-groups"]["dev"]}
    build = {_name(requirement) for requirement in project["build-system"]["requires"]}
    locked = {path.stem: _locked(path).keys() for path in HASHED}
    assert runtime <= locked["run"] < locked["run-otel"]
    assert runtime | extra | dev | build <= locked["dev"]
    assert build <= locked["build"]


@pytest.mark.parametrize("name", ["run.txt", "run-otel.txt", "build.txt"])
def test_the_image_runs_the_versions_that_were_tested(name: str) -> None:
    tested = _locked(ROOT / "requirements" / "dev.txt").items()
    assert _locked(ROOT / "requirements" / name).items() <= tested


@pytest.mark.parametrize("script", [".ci/run", "requirements/install.sh", "requirements/lock.sh"])
def test_the_scripts_can_be_run_and_read(script: str) -> None:
    path = ROOT / script
    assert os.access(path, os.X_OK)
    shell = path.read_text("utf-8").splitlines()[0].removeprefix("#!").removeprefix("/usr/bin/env ")
    subprocess.run([shell, "-n", path], check=True)


def test_every_target_of_the_makefile_is_in_its_help() -> None:
    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = {"help", "demo", "test", "check", "soak", "bench", "lock", "clean"}
    assert {line.split()[1] for line in shown.splitlines()} == targets
