"""Personas as a YAML file: read with the place of every mistake, written so that reading gives the same again."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import yaml
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from personas.models import CONTENT_FIELDS, Persona, PersonaVersion
from personas.services import fill

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 8
PERSONA_FIELDS = ("slug", "position")
TEXT_FIELDS = frozenset(
    {
        "slug", "name", "description", "emoji", "colour", "greeting", "system_prompt", "model", "visibility",
        "faq_mode", "contact", "personal_data",
    }
)  # fmt: skip
LIST_FIELDS = frozenset({"suggestions", "faq_categories", "unknown_offers"})
WHOLE_FIELDS = frozenset({"position", "max_reply_tokens", "context_budget", "cache_hours"})


class Problem(NamedTuple):
    """What is wrong, and where: line and column count from 1."""

    line: int
    column: int
    message: str


class BadPersonaFile(Exception):
    """The file cannot be loaded. ``problems`` has at least one entry, in the file's order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(f"{line}:{column}: {message}" for line, column, message in self.problems))


@dataclass
class PersonaSpec:
    """One persona of a file: its own fields and its version's content."""

    slug: str
    position: int
    content: dict[str, Any]
    start: Problem
    marks: dict[str, Problem] = field(default_factory=dict)


# --- Reading ----------------------------------------------------------------------------------------------------------
def read_personas(data: bytes) -> list[PersonaSpec]:
    """The personas of a file, every field checked. Raises BadPersonaFile with all that is wrong."""
    root = _compose(_decode(data))
    problems: list[Problem] = []
    specs = [spec for node in _entries(root, problems) if (spec := _read_persona(node, problems))]
    seen: set[str] = set()
    for spec in specs:
        if spec.slug in seen:
            place = spec.marks["slug"]
            problems.append(place._replace(message=_("The slug “%s” stands here twice.") % spec.slug))
        seen.add(spec.slug)
    if problems:
        raise BadPersonaFile(problems)
    return specs


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise BadPersonaFile([Problem(1, 1, _("The file is longer than %d bytes.") % MAX_BYTES)])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        raise BadPersonaFile([_place_after(before, _("This is not UTF-8."))]) from None


def _place_after(before: str, message: str) -> Problem:
    return Problem(before.count("\n") + 1, len(before) - before.rfind("\n"), message)


def _compose(text: str) -> yaml.Node:
    """The file's one document. Aliases, which could make little text into much, and deep nesting are refused."""
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise BadPersonaFile([_at(event, _("Anchors and aliases are not allowed here."))])
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise BadPersonaFile([_at(event, _("This is nested too deep."))])
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        message = _("The character U+%04X is not allowed.") % ord(text[error.position])
        raise BadPersonaFile([_place_after(text[: error.position], message)]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(part for part in (error.context, error.problem) if part)
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise BadPersonaFile([Problem(*place, _("This is not YAML: %s.") % message)]) from None
    if root is None:
        raise BadPersonaFile([Problem(1, 1, _("The file is empty."))])
    return root


def _at(node: yaml.Node | yaml.Event, message: str = "") -> Problem:
    assert node.start_mark is not None
    return Problem(node.start_mark.line + 1, node.start_mark.column + 1, message)


def _entries(root: yaml.Node, problems: list[Problem]) -> list[yaml.Node]:
    values = _read_mapping(root, ("personas",), problems)
    entries = values.get("personas")
    if entries is None:
        if not problems:
            problems.append(_at(root, _("The key “personas” is missing.")))
        return []
    if not isinstance(entries, yaml.SequenceNode):
        problems.append(_at(entries, _("“personas” must be a list.")))
        return []
    return list(entries.value)


def _read_mapping(node: yaml.Node, known: tuple[str, ...], problems: list[Problem]) -> dict[str, yaml.Node]:
    """The nodes of a mapping by key; unknown and repeated keys are problems."""
    found: dict[str, yaml.Node] = {}
    if not isinstance(node, yaml.MappingNode):
        problems.append(_at(node, _("Expected keys with values here: %s.") % ", ".join(known)))
        return found
    for key, value in node.value:
        name = key.value if isinstance(key, yaml.ScalarNode) else ""
        if name not in known:
            problems.append(_at(key, _("Unknown key “%(key)s”. Known: %(known)s.") % _names(name, known)))
        elif name in found:
            problems.append(_at(key, _("The key “%s” stands here twice.") % name))
        else:
            found[name] = value
    return found


def _names(name: str, known: tuple[str, ...]) -> dict[str, str]:
    return {"key": name[:60], "known": ", ".join(known)}


def _read_persona(node: yaml.Node, problems: list[Problem]) -> PersonaSpec | None:
    before = len(problems)
    nodes = _read_mapping(node, (*PERSONA_FIELDS, *CONTENT_FIELDS), problems)
    values: dict[str, Any] = {}
    for name, value in nodes.items():
        try:
            values[name] = _read_value(name, value)
        except _WrongType as error:
            problems.append(_at(error.node, str(error)))
    marks = {name: _at(value) for name, value in nodes.items()}
    if len(problems) > before:
        return None
    spec = PersonaSpec(values.pop("slug", ""), values.pop("position", 0), values, _at(node), marks)
    _check(spec, problems)
    return spec if len(problems) == before else None


class _WrongType(Exception):
    def __init__(self, node: yaml.Node, message: str) -> None:
        super().__init__(message)
        self.node = node


def _read_value(name: str, node: yaml.Node) -> Any:
    """The value of one field. Raises _WrongType, which has the node that is to blame."""
    if name == "faq_mode" and isinstance(node, yaml.ScalarNode) and node.value == "off":
        return "off"  # which YAML takes for false
    if name in TEXT_FIELDS:
        return _read_text(name, node)
    if name in LIST_FIELDS:
        if not isinstance(node, yaml.SequenceNode):
            raise _WrongType(node, _("“%s” must be a list of texts.") % name)
        return [_read_text(name, item) for item in node.value]
    kinds = ("int",) if name in WHOLE_FIELDS else ("int", "float")
    if not isinstance(node, yaml.ScalarNode) or node.tag.rpartition(":")[2] not in kinds:
        wanted = _("“%s” must be a whole number.") if name in WHOLE_FIELDS else _("“%s” must be a number.")
        raise _WrongType(node, wanted % name)
    try:
        number = yaml.SafeLoader("").construct_object(node)
    except (ValueError, OverflowError):  # a number of thousands of digits
        raise _WrongType(node, _("This number is too long.")) from None
    return number if name in WHOLE_FIELDS else float(number)


def _read_text(name: str, node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str":
        raise _WrongType(node, _("“%s” must be text: put it in quotes.") % name)
    return str(node.value)


def _check(spec: PersonaSpec, problems: list[Problem]) -> None:
    """Let the models judge the fields, and put what they say at the field's place in the file."""
    for check in (
        lambda: Persona(slug=spec.slug, position=spec.position).clean_fields(exclude=["published"]),
        lambda: fill(PersonaVersion(), spec.content),
    ):
        try:
            check()
        except ValidationError as error:
            for name, messages in error.message_dict.items():
                place = spec.marks.get(name, spec.start)
                problems += [place._replace(message=f"{name}: {message}") for message in messages]


# --- Writing ----------------------------------------------------------------------------------------------------------
class _Dumper(yaml.SafeDumper):
    """Texts of several lines stand as they are read; nothing is an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, indentless=False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


def write_personas(personas: Iterable[Persona]) -> str:
    """A file with these published personas (``with_published``), which ``read_personas`` reads as they are."""
    entries = []
    for persona in personas:
        assert persona.published is not None
        entries.append({"slug": persona.slug, "position": persona.position} | persona.published.content)
    return yaml.dump(
        {"personas": entries}, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=False
    )
