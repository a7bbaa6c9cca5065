"""What README and docs/ say is so: links, commands, settings, names and messages."""

import ast
import dataclasses
import inspect
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel

from components.evaluator.names import SUMMARY_METRICS
from configs import errors
from configs.load import CONFIG_FOLDER, load_config
from configs.types import EvaluationConfig, PipelineConfig
from configs.workspace import Workspace
from data.archives import ARCHIVE_ENDINGS
from data.folders import SPLIT_NAMES
from data.signatures import ACCEPTED_FORMATS
from pipeline.cli.main import app
from pipeline.cli.run import EXIT_INTERRUPTED
from pipeline.summary import EXIT_NOT_BLESSED, EXIT_PUSHED
from schema import features
from serving.gateway.settings import PREFIX as GATEWAY_PREFIX
from serving.gateway.settings import GatewaySettings
from trainer.thresholds import Decision

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [README, *sorted(DOCS.glob("*.md"))]
LOUPE = Path(sys.executable).with_name("loupe")
PACKAGES = (
    "configs",
    "schema",
    "data",
    "serving",
    "transform",
    "trainer",
    "components",
    "pipeline",
)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MESSAGES_OF_OTHERS = {"No space left on device", "Unknown image file format"}


def prose(page):
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def shell_lines(page):
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "sh":
            yield from block.replace("\\\n", " ").splitlines()


def inline_code(page):
    return re.findall(r"`([^`\n]+)`", prose(page))


def commands(program):
    """Every command of a program in any page, as words, with the page it is in."""
    for page in PAGES:
        for line in (*shell_lines(page), *inline_code(page)):
            match = re.match(rf"(?:\.venv/bin/)?{program}(?: |$)", line)
            if match:
                yield page.name, shlex.split(line, comments=True)[1:]


def section(page, heading):
    text = page.read_text(encoding="utf-8")
    level = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert level, f"{page.name} has no heading '{heading}'"
    rest = text[level.end() :]
    return re.split(rf"^#{{1,{len(level[1])}}} ", rest, flags=re.MULTILINE)[0]


def first_cells(text):
    return [
        name
        for row in re.findall(r"^\|(.*?)(?<!\\)\|", text, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", row)
    ]


def slug(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)]+)\)", prose(page)):
            if "://" not in target:
                yield pytest.param(page, target, id=f"{page.name}:{target}")


@pytest.mark.parametrize(("page", "target"), links())
def test_links_resolve(page, target):
    path, _, anchor = target.partition("#")
    linked = (page.parent / path).resolve() if path else page
    assert linked.exists()
    if anchor:
        headings = re.findall(r"^#+ (.+)$", prose(linked), re.MULTILINE)
        assert anchor in [slug(heading) for heading in headings]


def test_every_page_is_linked_from_the_readme():
    text = README.read_text()
    assert [page.name for page in PAGES[1:] if f"docs/{page.name}" not in text] == []


def make_help():
    return subprocess.run(
        ["env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "make", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_make_targets_and_variables_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^  make (\w+) {2,}", make_help() + "\n", re.MULTILINE)
    targets += re.findall(r"^  make (\w{8}) \w", make_help(), re.MULTILINE)
    found = list(commands("make"))
    assert len(found) > 20
    for page, words in found:
        for word in words:
            name, is_variable, _ = word.partition("=")
            known = f"$({name})" in makefile if is_variable else name in targets
            assert known, f"{page}: make {shlex.join(words)}: {name}"


def test_the_table_of_targets_is_what_make_help_prints():
    documented = re.findall(r"^\| `make (\w+)` \| (.*) \|$", README.read_text(), re.MULTILINE)
    printed = [re.fullmatch(r"  make (\w+) +(.*)", line) for line in make_help().splitlines()]
    usage = next(index for index, match in enumerate(printed) if match is None)
    assert documented == [match.groups() for match in printed[:usage]]


def find_command(words):
    command = typer.main.get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words[0]]
        words = words[1:]
    return command, words


def test_loupe_commands_and_options_exist():
    found = list(commands("loupe"))
    assert len(found) > 15
    for page, words in found:
        command, rest = find_command(words)
        options = {name for parameter in command.params for name in parameter.opts}
        for word in (word for word in rest if word.startswith("-")):
            assert word in options, f"{page}: loupe {shlex.join(words)}: {word}"
        assert not hasattr(command, "commands") or not rest, f"{page}: loupe {shlex.join(words)}"


def documented_settings():
    for page, words in (*commands("make"), *commands("loupe")):
        for index, word in enumerate(words):
            if word.startswith("SET="):
                values = word.removeprefix("SET=").split()
                yield from ((page, v) for v in values if v != "name=value")
            elif word == "--set" and index + 1 < len(words) and words[index + 1] != "name=value":
                yield page, words[index + 1]


def test_settings_in_commands_are_accepted():
    found = list(documented_settings())
    assert len(found) > 6
    for _, setting in found:
        load_config(overrides=[setting])


def test_settings_in_prose_exist():
    known = {name for name, _, _ in settings(PipelineConfig())}
    known |= {name.rpartition(".")[0] for name in known if name.count(".") > 1}
    stages = "|".join(sorted({name.partition(".")[0] for name in known if "." in name}))
    named = {
        (page.name, match[1])
        for page in PAGES
        for code in inline_code(page)
        if (match := re.fullmatch(rf"((?:{stages})(?:\.\w+)+)(?:=.*)?", code))
    }
    assert len(named) > 40
    assert [(page, name) for page, name in sorted(named) if _without_stage(name) not in known] == []


def _without_stage(name):
    # kubeflow.stages.<Stage>.<setting> takes what kubeflow.every_stage.<setting> takes.
    return re.sub(r"^kubeflow\.stages\.\w+", "kubeflow.every_stage", name)


def settings(config, prefix=""):
    """Name, default and description of every setting, from the dataclasses and docstrings."""
    body = inspect.getdoc(type(config)).partition("Attributes:\n")[2]
    entries = re.split(r"^ {4}(?=\w+: )", body, flags=re.MULTILINE)[1:]
    meanings = {name: " ".join(text.split()) for name, text in (e.split(": ", 1) for e in entries)}
    for field in dataclasses.fields(config):
        default = getattr(config, field.name)
        if dataclasses.is_dataclass(default):
            yield from settings(default, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, default, meanings[field.name]


def settings_rows():
    for name, default, meaning in settings(PipelineConfig()):
        text = str(default).lower() if isinstance(default, bool) else str(default)
        shown = "(empty)" if default in ("", (), {}, None) else f"`{text}`"
        yield f"| `{name}` | {shown} | {meaning[0].upper()}{meaning[1:].rstrip('.')}. |"


def test_the_table_of_settings_is_that_of_the_code():
    rows = re.findall(r"^\| `.*$", section(README, "Configuration"), re.MULTILINE)
    expected = list(settings_rows())
    assert rows == expected, "put these rows into README.md:\n" + "\n".join(expected)


def test_the_table_of_exit_codes_is_that_of_the_code():
    rows = re.findall(r"^\| (\d[\d n+]*) \|", section(README, "Exit codes"), re.MULTILINE)
    classes = [
        each
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.PipelineError)
    ]
    codes = {c.exit_code for c in classes} | {EXIT_PUSHED, EXIT_NOT_BLESSED, EXIT_INTERRUPTED}
    assert rows == [*(str(code) for code in sorted(codes)), "128 + n"]
    headings = re.findall(
        r"^### (\d+):", section(DOCS / "troubleshooting.md", "By exit code"), re.M
    )
    assert {int(code) for code in headings} == codes - {EXIT_PUSHED, 1}


def test_the_table_of_named_runs_lists_every_config():
    linked = re.findall(r"\]\(configs/([\w-]+\.yaml)\)", section(README, "Named runs"))
    assert sorted(linked) == sorted(path.name for path in CONFIG_FOLDER.glob("*.yaml"))


def test_the_layout_of_the_workspace_is_that_of_the_code():
    text = section(README, "Where things are").partition("In the repository:")[0]
    workspace = Workspace(Path("/w"))
    properties = [name for name, value in vars(Workspace).items() if isinstance(value, property)]
    paths = {getattr(workspace, name) for name in properties} - {workspace.runs}
    paths |= {workspace.serving(PipelineConfig().model_name)}
    assert {workspace.root / name for name in first_cells(text)} == paths


def test_the_layout_of_the_repository_is_complete():
    names = first_cells(section(README, "Where things are").partition("In the repository:")[2])
    assert [name for name in names if not (ROOT / name).is_dir()] == []
    assert [name for name in PACKAGES if f"{name}/" not in names] == []


def test_files_named_in_the_pages_exist():
    named = {
        code
        for page in PAGES
        for code in inline_code(page)
        if re.fullmatch(rf"(?:{'|'.join(PACKAGES)}|tests|docs)/[\w/.-]+\.\w+", code)
    }
    assert len(named) >= 5
    assert [name for name in sorted(named) if not (ROOT / name).is_file()] == []


def test_environment_variables_are_those_that_are_read():
    read = set(re.findall(r"LOUPE_\w+", (ROOT / "configs/load.py").read_text()))
    named = {name for page in PAGES for name in re.findall(r"LOUPE_\w+", page.read_text())}
    of_gateway = {name for name in named if name.startswith(GATEWAY_PREFIX)}
    assert of_gateway - {GATEWAY_PREFIX} <= set(gateway_variables(GatewaySettings))
    # One is only told by `loupe run` to its own process.
    assert named - of_gateway == read - {"LOUPE_RUN_FOLDER"}


def gateway_variables(model, prefix=GATEWAY_PREFIX):
    for name, field in model.model_fields.items():
        part = field.annotation
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield from gateway_variables(part, f"{prefix}{name.upper()}__")
        else:
            yield prefix + name.upper()


def test_signatures_are_those_that_are_exported():
    page = DOCS / "pushed-model.md"
    tables = section(page, "Signatures").partition("The answer:")
    exported = re.findall(r"Signature\.(\w+):", (ROOT / "trainer/signatures.py").read_text())
    assert set(first_cells(tables[0])) == {features.Signature[name].value for name in exported}
    outputs = {
        features.OUTPUT_LABEL,
        features.OUTPUT_LABEL_ID,
        features.OUTPUT_PROBABILITY,
        features.OUTPUT_PROBABILITIES,
        features.OUTPUT_CLASSES,
        features.OUTPUT_NEEDS_REVIEW,
    }
    assert set(first_cells(tables[2])) == outputs
    answers = [block for language, block in BLOCK.findall(README.read_text()) if language == "json"]
    assert json.loads(answers[0])["predictions"][0].keys() == outputs


def test_tables_of_metrics_bars_and_decision_are_complete():
    evaluation = DOCS / "evaluation.md"
    assert first_cells(section(evaluation, "Metrics")) == list(SUMMARY_METRICS)
    bars = re.findall(r"`evaluation\.(\w+)`", section(evaluation, "The bars"))
    assert bars == [field.name for field in dataclasses.fields(EvaluationConfig)]
    decision = first_cells(section(DOCS / "pushed-model.md", "decision.json"))
    assert decision == [field.name for field in dataclasses.fields(Decision)]


def test_data_page_names_every_layout_and_format():
    text = (DOCS / "data.md").read_text()
    assert [name for name in (*ARCHIVE_ENDINGS, *SPLIT_NAMES) if f"`{name}`" not in text] == []
    formats = section(DOCS / "data.md", "Formats").lower()
    assert [name for name in ACCEPTED_FORMATS if name not in formats] == []


def texts_of_the_code():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    parts = [getattr(part, "value", "") for part in node.values]
                    yield "".join(part if isinstance(part, str) else "{}" for part in parts)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield node.value


def quoted_messages():
    page = DOCS / "troubleshooting.md"
    for heading in ("4: the data", "5: a stage", "Not blessed by InfraValidator", "The server"):
        for code in first_cells(section(page, heading)):
            if not code.startswith("make ") and code not in MESSAGES_OF_OTHERS:
                yield code


def test_messages_that_are_explained_are_those_of_the_code():
    texts = "\n".join(texts_of_the_code())
    found = list(quoted_messages())
    assert len(found) > 15
    for message in found:
        # Three dots, a number and a value of the message stand for what the code fills in.
        pattern = re.escape(message).replace(r"\.\.\.", ".*")
        pattern = re.sub(r"\bN\b|(?<=is\\ )nan\b", r"\\{\\}", pattern)
        pattern = pattern.replace("loss", r"(?:loss|\{\})")
        assert re.search(pattern, texts), f"no message of the code reads '{message}'"


def test_the_prediction_is_a_block_that_needs_only_common_programs():
    marked = re.search(
        r"^<!-- test: predict -->\n```sh\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE
    )
    assert marked
    assert subprocess.run(["bash", "-n"], input=marked[1], text=True, check=False).returncode == 0
    programs = set(re.findall(r"(?:^|\$\(|\| )(\w+) ", marked[1], re.MULTILINE))
    assert programs <= {"ls", "head", "printf", "base64", "curl"}


def loupe(*words):
    return subprocess.run([LOUPE, *words], cwd=ROOT, capture_output=True, text=True, check=False)


def test_sample_data_is_drawn_and_inspected_as_documented(tmp_path):
    _, words = next(c for c in commands("loupe") if c[1][:2] == ["data", "sample"] and c[1][3:])
    folder = tmp_path / "drawn"
    drawn = loupe(*words[:2], str(folder), *words[3:], "--set", "sample.num_images=12")
    assert drawn.returncode == 0, drawn.stderr
    shown = loupe("inspect", str(folder))
    assert shown.returncode == 0, shown.stderr
    assert "12 files, 10 classes" in " ".join(shown.stdout.split())


def test_a_misspelt_setting_is_answered_as_documented(tmp_path):
    answer = loupe("run", "--workspace", str(tmp_path), "--set", "train.epoch=3")
    assert answer.returncode == errors.ConfigError.exit_code
    quoted = "unknown setting 'train.epoch'. Did you mean train.epochs"
    assert quoted in " ".join(answer.stderr.split())
    assert quoted in section(DOCS / "troubleshooting.md", "2: a setting")
