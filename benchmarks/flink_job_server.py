"""Beam's job server for Flink, through Maven: whole, or put together from its parts.

Beam publishes it as one jar of 200 MB for each version, which not every mirror of Maven has. Its
parts are ordinary jars: a jar that only names them does the same.
"""

import contextlib
import re
import shutil
import socket
import subprocess
import textwrap
import time
import zipfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apache_beam

from benchmarks.serving_processes import free_port
from configs.beam import FlinkConfig
from configs.errors import EnvironmentSetupError, StageError

PARTS_BEAM_VERSION: Final = "2.62.0"
"""Newest Beam all parts of which could be had where this was written; Python's Beam 2.77 runs on
it, because what passes between them is a protocol that only grows."""
PARTS_FLINK_VERSION: Final = "1.19"

_DRIVER: Final = "org.apache.beam.runners.flink.FlinkJobServerDriver"
_MAVEN_SECONDS: Final = 600
_START_SECONDS: Final = 60
_MAVEN_REPOSITORY: Final = Path.home() / ".m2" / "repository"


@dataclass(frozen=True)
class JobServerJar:
    """A jar that `java -jar` starts.

    Attributes:
        path: the jar.
        beam_version: of the job server.
        flink_version: of the Flink in it, as `beam.flink.version`.
    """

    path: Path
    beam_version: str
    flink_version: str


def job_server_jar(folder: Path) -> JobServerJar:
    """Find the jar of the installed Beam, or put an older one together.

    Args:
        folder: gets the jar when it is put together; what it names lies in Maven's repository.

    Returns:
        The jar.

    Raises:
        EnvironmentSetupError: there is no Java or no Maven, or Maven can get neither.
    """
    if shutil.which("java") is None:
        raise EnvironmentSetupError("no 'java' on PATH, expected Java 11 or 17: Flink runs on it.")
    name = f"beam-runners-flink-{FlinkConfig().version}-job-server"
    version = apache_beam.__version__
    whole = _MAVEN_REPOSITORY / "org/apache/beam" / name / version / f"{name}-{version}.jar"
    if whole.exists():
        return JobServerJar(whole, version, FlinkConfig().version)
    if shutil.which("mvn") is None:
        raise EnvironmentSetupError(f"neither '{whole}' nor 'mvn', which would fetch it.")
    artifact = f"org.apache.beam:{name}:{version}"
    why_not = _maven("dependency:get", "-Dtransitive=false", f"-Dartifact={artifact}")
    if whole.exists():
        return JobServerJar(whole, version, FlinkConfig().version)
    classpath = folder / "classpath.txt"
    why_not_parts = _resolve_parts(folder, classpath)
    if not classpath.exists():
        raise EnvironmentSetupError(
            f"Maven can get neither {artifact} ({why_not}) nor the parts of Beam "
            f"{PARTS_BEAM_VERSION}'s ({why_not_parts})."
        )
    jars = [Path(jar) for jar in classpath.read_text().split(":")]
    path = folder / f"beam-runners-flink-{PARTS_FLINK_VERSION}-job-server-{PARTS_BEAM_VERSION}.jar"
    _write_naming_jar(path, jars)
    return JobServerJar(path, PARTS_BEAM_VERSION, PARTS_FLINK_VERSION)


@contextlib.contextmanager
def running_job_server(jar: JobServerJar, folder: Path) -> Generator[str]:
    """Run a job server with a small Flink inside until the block ends.

    Args:
        jar: of `job_server_jar`.
        folder: gets what it prints, and what jobs bring along.

    Yields:
        Its `host:port`, for `beam.flink.job_server`.

    Raises:
        StageError: it did not start.
    """
    port = free_port()
    log = folder / "job-server.log"
    command = ["java", "-jar", str(jar.path), "--flink-master=[local]", "--job-host=localhost"]
    command += [f"--job-port={port}", "--artifact-port=0", "--expansion-port=0"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, f"--artifacts-dir={folder / 'artifacts'}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        ends = time.monotonic() + _START_SECONDS
        while not _is_open(port):
            if process.poll() is not None or time.monotonic() > ends:
                raise StageError(f"Flink's job server did not start. See '{log}'.")
            time.sleep(0.1)
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait()


def _resolve_parts(folder: Path, classpath: Path) -> str:
    project = folder / "pom.xml"
    project.write_text(f"""\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>loupe</groupId> <artifactId>flink-job-server</artifactId> <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.beam</groupId>
      <artifactId>beam-runners-flink-{PARTS_FLINK_VERSION}</artifactId>
      <version>{PARTS_BEAM_VERSION}</version>
    </dependency>
  </dependencies>
</project>
""")
    return _maven(
        "dependency:build-classpath",
        f"--file={project}",
        "-DincludeScope=runtime",
        f"-Dmdep.outputFile={classpath}",
    )


def _maven(*arguments: str) -> str:
    command = ["mvn", "-q", "-B", "-U", "-Dstyle.color=never", *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_MAVEN_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_MAVEN_SECONDS} s"
    said = re.search(r"Couldn't download.*|Could not.*", done.stdout + done.stderr)
    return said[0][:120] if said else f"exit code {done.returncode}"


def _write_naming_jar(path: Path, jars: list[Path]) -> None:
    named = f"Class-Path: {' '.join(jar.as_uri() for jar in jars)}"
    # Lines of a manifest have at most 72 bytes; what goes on begins with a blank.
    folded = textwrap.wrap(named, 70, drop_whitespace=False, break_on_hyphens=False)
    lines = ["Manifest-Version: 1.0", f"Main-Class: {_DRIVER}", "\r\n ".join(folded), "", ""]
    with zipfile.ZipFile(path, "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", "\r\n".join(lines))


def _is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
        return True
    return False
