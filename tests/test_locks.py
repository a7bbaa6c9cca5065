import importlib.metadata
import re
from distutils.core import run_setup
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
ENVIRONMENTS = ("dev", "pipeline", "model-server", "gateway")


def pins_of(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==(\S+)", text, flags=re.MULTILINE))


def read_pins(name: str) -> dict[str, str]:
    return pins_of((ROOT / "requirements" / f"{name}.lock").read_text())


def extra_of_setup(name: str) -> list[str]:
    return run_setup(str(ROOT / "setup.py"), stop_after="init").extras_require[name]


def find_unsatisfied(requirements: list[str], pins: dict[str, str]) -> list[str]:
    todo = [Requirement(text) for text in requirements]
    seen: set[str] = set()
    unsatisfied: list[str] = []
    while todo:
        requirement = todo.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        version = pins.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            unsatisfied.append(f"{requirement} (locked: {version})")
            continue
        todo += needs_of(requirement)
    return unsatisfied


def needs_of(requirement: Requirement) -> list[Requirement]:
    needs = map(Requirement, importlib.metadata.requires(requirement.name) or [])
    extras = ["", *requirement.extras]
    return [
        need
        for need in needs
        if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras)
    ]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_lock_satisfies_setup_and_everything_it_brings(name: str):
    unsatisfied = find_unsatisfied(extra_of_setup(name), read_pins(name))
    assert not unsatisfied, f"requirements/{name}.lock is out of date; run: make lock"


def test_missing_and_wrong_pins_are_found():
    found = find_unsatisfied(["pytest>=99", "no-such-package"], {"pytest": "8.0"})
    assert sorted(found) == ["no-such-package (locked: None)", "pytest>=99 (locked: 8.0)"]


def test_needs_of_needs_are_found():
    pins = {"pytest": importlib.metadata.version("pytest")}
    assert any("pluggy" in text for text in find_unsatisfied(["pytest"], pins))


@pytest.mark.parametrize("name", ENVIRONMENTS[1:])
def test_environments_agree_on_versions(name: str):
    assert read_pins(name).items() <= read_pins("dev").items()


def test_the_gpu_lock_satisfies_setup():
    # CUDA's packages are not installed here; what they are is said by TensorFlow's own extra.
    names = [Requirement(text) for text in extra_of_setup("pipeline-gpu")]
    (tensorflow,) = [each for each in names if each.extras == {"and-cuda"}]
    cuda = {canonicalize_name(need.name) for need in needs_of(tensorflow)}
    cuda -= {canonicalize_name(need.name) for need in needs_of(Requirement("tensorflow"))}
    pins = read_pins("pipeline-gpu")
    assert len(cuda) > 5
    assert cuda <= pins.keys()
    assert {name: pin for name, pin in pins.items() if name not in cuda}.items() <= (
        read_pins("dev").items()
    )


def test_pip_takes_every_pin_on_this_python():
    # uv installs what forbids this Python by an upper bound; pip, which builds images, does not.
    pins = read_pins("dev")
    refused = [
        f"{each.name} {each.version} (Python {each.metadata['Requires-Python']})"
        for each in importlib.metadata.distributions()
        if pins.get(canonicalize_name(each.name)) == each.version
        and each.metadata["Requires-Python"]
        and not SpecifierSet(each.metadata["Requires-Python"]).contains("3.11.14")
    ]
    assert refused == []


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_pin_has_a_hash_and_no_place_is_named(path: Path):
    text = path.read_text()
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|--index-url|--find-links|#.*/", text)
