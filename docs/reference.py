"""The reference pages, written from the code at every build of the site: a hook of MkDocs."""

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from service.app import create_app
from service.cli import ENTRIES, load_command
from service.terminal.exit_codes import ExitCode, of_failure
from workers import errors
from workers.methods import METHODS
from workers.report.terms import TERMS
from workers.settings import Settings

WRITTEN_FROM = {
    "service/cli.py": "commands",
    "workers/settings.py": "settings",
    "workers/recipe/recipe.py": "recipe-steps",
    "service/http/schemas.py": "api",
    "workers/errors.py": "errors",
}
VERBS = ("get", "head", "put", "post", "patch", "delete")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Complete the navigation with the pages that it does not name, and with the decisions in their order."""
    folder = Path(config.docs_dir)
    named = json.dumps(config.nav)
    more = [path.name for path in sorted(folder.glob("*.md")) if f'"{path.name}"' not in named]
    next(section["Topics"] for section in config.nav or [] if "Topics" in section).extend(more)
    (config.nav or []).append({"Decisions": [f"decisions/{path.name}" for path in sorted(folder.glob("decisions/*.md"))]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    for name, page in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content="\n".join(page()) + "\n"))
    files.append(File.generated(config, "reference/openapi.json", content=json.dumps(openapi(), indent=1)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead to the reference where the page, read as Markdown, leads to the code that the reference is written from."""
    up = "../" * page.file.src_uri.count("/")
    markdown = re.sub(r"\]\((?:\.\./)+workers/methods/(\w+)\.py\)", rf"]({up}reference/recipe-steps.md#\1)", markdown)
    for source, name in WRITTEN_FROM.items():
        markdown = re.sub(rf"\]\((?:\.\./)+{re.escape(source)}\)", f"]({up}reference/{name}.md)", markdown)
    return markdown


def commands() -> Iterator[str]:
    """Every command with its arguments and options."""
    yield "# Commands\n"
    for name in ENTRIES:
        command = load_command(name)
        yield f"## fractune {name}\n\n{inspect.cleandoc(command.help or '')}\n"
        with command.make_context(f"fractune {name}", [], resilient_parsing=True) as context:
            records = (parameter.get_help_record(context) for parameter in command.params)
            yield from table("Argument or option", "", [(f"`{names}`", meaning) for names, meaning in filter(None, records)])
    yield "## Exit status\n"
    yield from table("Status", "", ((str(int(code)), code.name.replace("_", " ").lower()) for code in ExitCode))


def settings() -> Iterator[str]:
    """Every variable with its type and default."""
    yield "# Settings\n"
    yield inspect.cleandoc(Settings.__doc__ or "") + "\n"
    yield "Sizes may be written as `4GiB`; lists and objects are JSON. An empty variable counts as absent.\n"
    yield from table("Variable", "Default", variables(Settings, "FRACTUNE_"), "")


def variables(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    """The variables of a model of settings, and of the models inside it."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from variables(field.annotation, f"{prefix}{name.upper()}__")
        else:
            yield f"`{prefix}{name.upper()}`", default(name, field), field.description or ""


def default(name: str, field: FieldInfo) -> str:
    """A field's default as one would write it."""
    if name == "data_dir":
        return "`~/.fractune`"
    if name == "child_command":
        return "`python -m workers.run.child`"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value == "":
        return "none"
    return f"`{json.dumps(value, default=str)}`"


def error_codes() -> Iterator[str]:
    """Every error with its code, sentence and remedy."""
    yield "# Errors\n"
    yield "Codes are stable: a program may rely on them. They are in `code` of an answer of the API (problem+json), in"
    yield "`failure.code` of a job, and behind the exit status of a command.\n"
    rows = ((f"`{kind.code}`", str(int(of_failure(kind.code))), kind().message, kind.hint) for kind in errors.error_kinds())
    yield from table("Code", "Exit status", rows, "Says", "What to do")


def figures() -> Iterator[str]:
    """Every figure of a report with what it means."""
    yield "# Figures\n"
    yield "What the figures of a report, of the dashboard and of the command line mean; [what a result says](../results.md)"
    yield "tells how each is made.\n"
    yield from table(
        "Figure", "What it is", [(term.title, term.meaning, term.more) for term in TERMS.values()], "What to make of it"
    )


def knobs() -> Iterator[str]:
    """Every step of a recipe with its parameters."""
    yield "# Recipe steps\n"
    for step in METHODS:
        yield f"## {step.model_fields['method'].default}\n\n{inspect.cleandoc(step.__doc__ or '')}\n"
        fields = ((name, field) for name, field in step.model_fields.items() if name != "method")
        yield from table("Knob", "Default", ((f"`{name}`", knob(field), field.description or "") for name, field in fields), "")


def knob(field: FieldInfo) -> str:
    """A field's default, or that it has none."""
    if field.is_required():
        return "required"
    return f"`{json.dumps(field.get_default(call_default_factory=True, validated_data={}), default=str)}`"


def api() -> Iterator[str]:
    """Every route with its parameters, body and answers."""
    document = openapi()
    yield f"# HTTP API\n\nVersion {document['info']['version']}. The same as [OpenAPI](openapi.json), which a running service"
    yield "shows at `/openapi.json`. A request carries `Authorization: Bearer KEY`; whatever is declined is answered with"
    yield "problem+json and one of the [error codes](errors.md).\n"
    for path, operations in document["paths"].items():
        for verb in VERBS:
            if verb in operations:
                yield from operation(f"{verb.upper()} {path}", operations[verb])
    yield "## Objects\n"
    for name, schema in document["components"]["schemas"].items():
        if "properties" in schema:
            yield f"### {name}\n\n{schema.get('description', '')}\n"
            required = schema.get("required", ())
            rows = (
                (f"`{key}`" + ("" if key in required else " (optional)"), kind(value), value.get("description", ""))
                for key, value in schema["properties"].items()
            )
            yield from table("Field", "Type", rows, "")


def operation(title: str, operation: dict[str, Any]) -> Iterator[str]:
    """One route."""
    yield f"## {title}\n\n{operation.get('description') or operation.get('summary', '')}\n"
    rows = [
        (f"`{parameter['name']}`", parameter["in"], kind(parameter["schema"]), parameter.get("description", ""))
        for parameter in operation.get("parameters", ())
    ]
    if rows:
        yield from table("Parameter", "In", rows, "Type", "")
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"Body: `{media_type}`, {kind(content['schema'])}.\n"
    for status, response in operation["responses"].items():
        types = [
            f"`{media_type}` {kind(content.get('schema', {}))}" for media_type, content in response.get("content", {}).items()
        ]
        yield f"- **{status}** {response.get('description', '')} {', '.join(types)}"
    yield ""


def kind(schema: dict[str, Any]) -> str:
    """A JSON schema in a word or two."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"{name}"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(kind(option) for option in schema[several])
    if "enum" in schema or "const" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {kind(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type", "any"))


def openapi() -> dict[str, Any]:
    """The document of an application that is never started."""
    with TemporaryDirectory() as folder:
        document: dict[str, Any] = create_app(Settings(data_dir=Path(folder))).openapi()
    return document


def table(first: str, second: str, rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]], *more: str) -> Iterator[str]:
    """A table of Markdown."""
    header = (first, second, *more)
    yield f"| {' | '.join(header)} |"
    yield f"|{' --- |' * len(header)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;').replace(chr(10), ' ') for cell in row)} |"
    yield ""


PAGES = {
    "commands": commands,
    "settings": settings,
    "errors": error_codes,
    "figures": figures,
    "recipe-steps": knobs,
    "api": api,
}
