"""Downloads Debian packages without root: the host's mirror and keys, private state."""

import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from configs.errors import EnvironmentSetupError

APT_FOLDER = Path("/etc/apt")
WAY_OUT = "Use Debian 13 or Ubuntu 24.04, or a container of one of them."
# Fields that say which packages a source offers; all others (keys, proxies) are carried over.
_PLACE_FIELDS = ("types", "uris", "suites", "components", "enabled", "arch", "architectures")


@dataclass(frozen=True)
class AptSource:
    """One place that packages come from.

    Attributes:
        uri: where the archive is.
        suite: release of the distribution, such as bookworm.
        components: parts of the archive, such as main.
        options: further deb822 fields by lower-case name, such as signed-by.
    """

    uri: str
    suite: str
    components: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict[str, str])


def parse_one_line(text: str) -> list[AptSource]:
    """Read the `deb [options] uri suite component...` format.

    Args:
        text: content of a `.list` file.

    Returns:
        Its binary sources; comments, source packages and incomplete lines are left out.
    """
    sources: list[AptSource] = []
    for raw_line in text.splitlines():
        line = raw_line.partition("#")[0].strip()
        head, _, rest = line.partition(" ")
        options: dict[str, str] = {}
        rest = rest.strip()
        if rest.startswith("["):
            bracket, _, rest = rest[1:].partition("]")
            pairs = (pair.partition("=") for pair in bracket.split())
            options = {name.lower(): value for name, _, value in pairs}
        uri, suite, *components = [*rest.split(), "", ""]
        if head == "deb" and uri and suite:
            names = tuple(component for component in components if component)
            sources.append(AptSource(uri, suite, names, _carried(options)))
    return sources


def parse_deb822(text: str) -> list[AptSource]:
    """Read the `Types: deb` paragraph format.

    Args:
        text: content of a `.sources` file.

    Returns:
        One source for each URI and suite of each enabled binary paragraph.
    """
    sources: list[AptSource] = []
    for fields in _paragraphs(text):
        is_enabled = fields.get("enabled", "yes").strip().lower() not in {"no", "false", "0"}
        if not is_enabled or "deb" not in fields.get("types", "").split():
            continue
        components = tuple(fields.get("components", "").split())
        sources += [
            AptSource(uri, suite, components, _carried(fields))
            for uri in fields.get("uris", "").split()
            for suite in fields.get("suites", "").split()
        ]
    return sources


def read_sources(apt_folder: Path = APT_FOLDER) -> list[AptSource]:
    """Read every package source of the host.

    Args:
        apt_folder: folder of apt's configuration.

    Returns:
        The sources in the order of the files' names; empty where there is no apt.
    """
    parts = apt_folder / "sources.list.d"
    sources: list[AptSource] = []
    for path in [apt_folder / "sources.list", *sorted(parts.glob("*.list"))]:
        if path.is_file():
            sources += parse_one_line(path.read_text(encoding="utf-8", errors="replace"))
    for path in sorted(parts.glob("*.sources")):
        sources += parse_deb822(path.read_text(encoding="utf-8", errors="replace"))
    return sources


def source_for_suite(sources: Sequence[AptSource], codename: str, suite: str) -> AptSource:
    """Point the host's own mirror at another release.

    Args:
        sources: the host's sources.
        codename: the host's release, such as bookworm.
        suite: the release to take packages from, such as trixie.

    Returns:
        The mirror, keys and options of the host's main archive, with `suite`.

    Raises:
        EnvironmentSetupError: no source of the host offers its own release's main component.
    """
    for name in (codename, "stable", "oldstable"):
        for source in sources:
            if source.suite == name and "main" in source.components:
                alike = [s for s in sources if (s.uri, s.suite) == (source.uri, source.suite)]
                components = dict.fromkeys(part for s in alike for part in s.components)
                return AptSource(source.uri, suite, tuple(components), source.options)
    raise EnvironmentSetupError(
        f"apt has no mirror for '{codename} main' in {APT_FOLDER}, so the C library of '{suite}' "
        f"cannot be fetched. {WAY_OUT}"
    )


def render(source: AptSource) -> str:
    """Write a source in deb822 format, which also holds keys that are written in place.

    Args:
        source: the source.

    Returns:
        Text of a `.sources` file.
    """
    fields = {
        "Types": "deb",
        "URIs": source.uri,
        "Suites": source.suite,
        "Components": " ".join(source.components),
        **source.options,
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items())


def fetch_packages(
    packages: Sequence[str], target: Path, scratch: Path, source: AptSource | None = None
) -> None:
    """Download packages and unpack them into a folder, without root and without installing.

    Args:
        packages: names of binary packages; dependencies are not followed.
        target: folder to unpack into, made when missing.
        scratch: folder for apt's private state, made when missing.
        source: where to take them from; None means the host's own sources.

    Raises:
        EnvironmentSetupError: there is no apt, or it cannot download them.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise EnvironmentSetupError(
                f"{', '.join(packages)} must be fetched with {tool}, which this system does not "
                f"have. {WAY_OUT}"
            )
    downloads = scratch / "packages"
    for folder in ("state/lists/partial", "cache/archives/partial", "parts", "packages"):
        (scratch / folder).mkdir(parents=True, exist_ok=True)
    options = _apt_options(scratch, source)
    # One broken third-party source must not matter, so only the download's status counts.
    update = _run(["apt-get", *options, "update"], downloads)
    download = _run(["apt-get", *options, "download", *packages], downloads)
    archives = sorted(downloads.glob("*.deb"))
    if download.returncode != 0 or not archives:
        reason = (download.stdout + update.stdout).strip().splitlines()
        cause = next((line for line in reason if line.startswith("E:")), "no reason given")
        raise EnvironmentSetupError(
            f"apt could not download {', '.join(packages)} ({cause}). Check the network and "
            f"{APT_FOLDER}. {WAY_OUT}"
        )
    target.mkdir(parents=True, exist_ok=True)
    for archive in archives:
        if _run(["dpkg-deb", "-x", str(archive), str(target)], downloads).returncode != 0:
            raise EnvironmentSetupError(f"'{archive.name}' cannot be unpacked. Run set-up again.")


def _apt_options(scratch: Path, source: AptSource | None) -> list[str]:
    settings = {
        "Dir::State": scratch / "state",
        "Dir::State::Lists": scratch / "state/lists",
        "Dir::State::Status": "/dev/null",
        "Dir::Cache": scratch / "cache",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
    }
    if source is not None:
        (scratch / "parts/loupe.sources").write_text(render(source), encoding="utf-8")
        settings |= {
            "Dir::Etc::SourceList": "/dev/null",
            "Dir::Etc::SourceParts": scratch / "parts",
        }
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _carried(options: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in options.items() if name not in _PLACE_FIELDS}


def _paragraphs(text: str) -> list[dict[str, str]]:
    paragraphs: list[dict[str, str]] = [{}]
    name = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if not line.strip():
            paragraphs.append({})
        elif line[0].isspace() and name in paragraphs[-1]:
            paragraphs[-1][name] += f"\n{line}"
        else:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            paragraphs[-1][name] = value.strip()
    return [paragraph for paragraph in paragraphs if paragraph]


def read_os_release(text: str) -> dict[str, str]:
    """Read the file that names the distribution.

    Args:
        text: content of /etc/os-release.

    Returns:
        Its values by name, such as ID and VERSION_ID, without quotes.
    """
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): " ".join(shlex.split(value)) for name, _, value in pairs}
