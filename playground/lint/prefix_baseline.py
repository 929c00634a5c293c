"""Baseline of the prefixes that requests share: hashes and lengths, no contents. Compared in a team's CI.

A prompt's prefix ends at its first value that changes from request to request, or at the last user message. For
several recorded requests of one program it ends at the first difference between them. Programs are recognized by
hashes of the lines of their first message, whatever their order in the recording.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from playground.client.endpoint import Rates
from playground.lint.model import Evidence, Finding, FindingPlace, spots
from playground.prefix_cache.block_size import ASSUMED_BLOCK
from playground.prefix_cache.text_compare import common_prefix
from playground.prompt.document import Document, Json
from playground.prompt.field_errors import FieldError, InputError, Path

FORMAT_KEY, FORMAT_VERSION = "electron_playground_prefixes", 1
RULE = "prefix-baseline"
CHUNK = 256
"""Code points per hash inside a part: where stable text was edited is known to as many."""
SKETCH, ALIKE = 24, 0.4
"""Hashes of lines per program; share of them from which on two recordings are of the same program."""
_LINE_ENDS = re.compile(r"\n|(?<=[.!?\u3002\u0964])\s*")
_DIGITS = re.compile(r"\d+")
Estimate = Callable[[str], float]
_NOTHING: Mapping[str, float] = MappingProxyType({})


class PrefixPart(Struct, frozen=True):
    """A tool or message of the prefix; of the last one, `text` ends at the boundary."""

    path: Path
    role: str
    text: str


class SharedPrefix(Struct, frozen=True):
    """The prefix of one prompt or program. `reason` names what ends it: a value, or "" for the question."""

    parts: tuple[PrefixPart, ...]
    path: Path
    offset: int
    reason: str = ""
    sketch: frozenset[str] = frozenset()
    """Hashes of lines of the first message, of a recorded program."""

    @property
    def flat(self) -> str:
        """Return the text that is compared with other prompts."""
        return "".join(f"{part.role}\x1e{part.text}\x1f" for part in self.parts)

    def locate(self, flat_offset: int) -> tuple[Path, int]:
        """Return path and offset of a code point of `flat`."""
        for part in self.parts:
            size = len(part.role) + len(part.text) + 2
            if flat_offset < size:
                return part.path, min(max(flat_offset - len(part.role) - 1, 0), len(part.text))
            flat_offset -= size
        return self.path, self.offset


def _parts(document: Document) -> list[PrefixPart]:
    tools = [PrefixPart(("tools", at), "tool", tool.json_text) for at, tool in enumerate(document.tools)]
    messages = [
        PrefixPart(("messages", at, "content"), message.role, message.content or "")
        for at, message in enumerate(document.messages)
    ]
    return [*tools, *messages]


def prefix_of_prompt(document: Document) -> SharedPrefix:
    parts = _parts(document)
    first = next(spots(document), None)
    last = len(document.messages) - 1
    question = last if document.messages and document.messages[last].role == "user" and last else last + 1
    message, offset, reason = question, 0, ""
    if first is not None and first.message <= question:
        message, offset, reason = first.message, first.start, first.name
    return _cut(parts, len(document.tools) + message, offset, reason)


def prefix_of_requests(documents: Sequence[Document]) -> SharedPrefix:
    """Return what all recorded requests of one program begin with; of one request, its stable prefix."""
    rows = [_parts(document) for document in documents]
    found = _shared(rows) if len(rows) > 1 else prefix_of_prompt(documents[0])
    return replace(found, sketch=_sketch(documents[-1]))


def _shared(rows: Sequence[Sequence[PrefixPart]]) -> SharedPrefix:
    for at, column in enumerate(zip(*rows, strict=False)):
        if len(set(column)) > 1:
            same_role = len({part.role for part in column}) == 1
            texts = [part.text for part in column]  # the extremes have the common prefix of all
            offset = common_prefix(min(texts), max(texts)) if same_role else 0
            return _cut(rows[0], at, offset, "a difference between requests")
    shortest = min(rows, key=len)
    return _cut(shortest, len(shortest), 0, "")


def _sketch(document: Document) -> frozenset[str]:
    """Return the least hashes of the lines and sentences of the first message, without digits, and of tool names."""
    text = document.messages[0].content or "" if document.messages else ""
    lines = {" ".join(line.split()) for line in _LINE_ENDS.split(_DIGITS.sub("", text))}
    names = {f"tool {tool.name}" for tool in document.tools}
    return frozenset(sorted(_hash(line, 6) for line in lines | names if line)[:SKETCH])


def recognized(old: Mapping[str, Json], prefixes: Mapping[str, SharedPrefix]) -> dict[str, str]:
    """Return the name in the baseline for each recorded program, given by the names `file#number` of this recording.

    A program that the baseline has keeps its name there, whatever its place in the recording. A new one is named by its
    content.
    """
    scores: list[tuple[float, str, str]] = []
    for name, prefix in prefixes.items():
        same_file = [key for key in old if key.rpartition("#")[0] == name.rpartition("#")[0]]
        scores += [(_similarity(prefix, old[key]), name, key) for key in same_file]
    found: dict[str, str] = {}
    taken: set[str] = set()
    for score, name, key in sorted(scores, key=lambda one: (-one[0], one[1] != one[2], one[1])):
        if score >= ALIKE and name not in found and key not in taken:
            found[name] = key
            taken.add(key)
    for name, prefix in prefixes.items():
        if name in found:
            continue
        file = name.rpartition("#")[0]
        left = [key for key in old if key.rpartition("#")[0] == file and key not in taken]
        others = [one for one in prefixes if one.rpartition("#")[0] == file and one not in found]
        if len(left) == len(others) == 1 and not _sketch_of(old[left[0]]):
            key = left[0]  # of an older version, which has no hashes of lines
        else:
            first = min(prefix.sketch, default="") + (prefix.parts[0].text if prefix.parts else "")
            key = next(key for digits in range(8, 64) if (key := f"{file}#{_hash(first, digits)}") not in taken)
        found[name] = key
        taken.add(key)
    return found


def _similarity(prefix: SharedPrefix, entry: Json) -> float:
    """Return how much a recorded program and an entry of the baseline have in common, 0 to 1."""
    theirs = _sketch_of(entry)
    if theirs and prefix.sketch:
        return len(theirs & prefix.sketch) / min(len(theirs), len(prefix.sketch))
    chunks = [part.text[at : at + CHUNK] for part in prefix.parts for at in range(0, len(part.text), CHUNK)]
    known = {
        text[at : at + 4]
        for text in (str(part.get("chunks", "")) for part in _part_list(entry))
        for at in range(0, len(text), 4)
    }
    return sum(_hash(chunk, 4) in known for chunk in chunks) / max(min(len(chunks), len(known)), 1)


def _sketch_of(entry: Json) -> frozenset[str]:
    text = entry.get("sketch") if isinstance(entry, dict) else None
    return frozenset(text.split()) if isinstance(text, str) else frozenset()


def _cut(parts: Sequence[PrefixPart], at: int, offset: int, reason: str) -> SharedPrefix:
    kept = list(parts[:at])
    if at >= len(parts):
        path = parts[-1].path if parts else ("messages",)
        return SharedPrefix(tuple(kept), path, len(parts[-1].text) if parts else 0, reason)
    if offset:
        kept.append(PrefixPart(parts[at].path, parts[at].role, parts[at].text[:offset]))
    return SharedPrefix(tuple(kept), parts[at].path, offset, reason)


def baseline_of(prefixes: Mapping[str, SharedPrefix], estimate: Estimate) -> dict[str, Json]:
    """Return the entries of all prompts by name."""
    partners = _partners(prefixes)
    entries: dict[str, Json] = {}
    for name, prefix in prefixes.items():
        parts: list[Json] = [_part_fields(part, estimate) for part in prefix.parts]
        partner, shared = partners.get(name, ("", 0))
        entries[name] = {
            "tokens": round(sum(estimate(part.text) for part in prefix.parts)),
            "parts": parts,
            "shared": {"with": partner, "tokens": round(estimate(prefix.flat[:shared]))} if shared else None,
            **({"sketch": " ".join(sorted(prefix.sketch))} if prefix.sketch else {}),
        }
    return entries


def _part_fields(part: PrefixPart, estimate: Estimate) -> dict[str, Json]:
    text = part.text
    return {
        "part": FieldError(part.path, "").field,
        "tokens": round(estimate(text)),
        "hash": _hash(f"{part.role}\x1e{text}", 16),
        "chunks": "".join(_hash(text[at : at + CHUNK], 4) for at in range(0, len(text), CHUNK)),
    }


def _hash(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


def _partners(prefixes: Mapping[str, SharedPrefix]) -> dict[str, tuple[str, int]]:
    """Return for each prompt the other one that shares the longest prefix, and how many code points of `flat`."""
    rows = sorted((prefix.flat, name) for name, prefix in prefixes.items())
    found: dict[str, tuple[str, int]] = {}
    for (left, left_name), (right, right_name) in pairwise(rows):
        shared = common_prefix(left, right)
        for name, other in ((left_name, right_name), (right_name, left_name)):
            if shared > found.get(name, ("", 0))[1]:
                found[name] = (other, shared)
    return found


def regressions(
    old: Mapping[str, Json],
    prefixes: Mapping[str, SharedPrefix],
    estimate: Estimate,
    rates: Rates,
    fresh: Mapping[str, float] = _NOTHING,
    counted: Mapping[str, float] = _NOTHING,
) -> Iterator[tuple[str, Finding]]:
    """Yield findings by prompt: serious if its shared prefix is shorter by a block, a hint if stable text changed.

    `fresh`: reported fresh tokens per request by prompt; no finding costs more. `counted`: those that other findings
    about the requests of the program state already.
    """
    now = baseline_of(prefixes, estimate)
    for name, prefix in prefixes.items():
        before = old.get(name)
        if before is None:
            yield name, _note("new", "This prompt is not in the baseline", "Run with --update-baseline to add it.")
            continue
        lost = _count(before, "tokens") - _count(now[name], "tokens")
        if lost >= ASSUMED_BLOCK:
            what = f"{prefix.reason!r} ends it" if prefix.reason else "it ends"
            known = counted.get(name, 0.0)
            paid = max(min(lost, fresh.get(name, lost)) - known, 0.0)
            why = f"Now {what} here." + (" The cost is stated with the spans that vary." if known else "")
            yield name, _shorter(before, lost, prefix.path, prefix.offset, why, rates, "stable", round(paid))
        else:
            yield from ((name, finding) for finding in _edited(before, now[name], prefix))
        yield from ((name, finding) for finding in _unshared(before, name, prefixes, estimate, rates))


def _unshared(
    before: Json, name: str, prefixes: Mapping[str, SharedPrefix], estimate: Estimate, rates: Rates
) -> Iterator[Finding]:
    """Yield a finding if the prompt shares less with the other prompt than the baseline says."""
    shared = before.get("shared") if isinstance(before, dict) else None
    partner = prefixes.get(str(shared.get("with"))) if isinstance(shared, dict) else None
    if partner is None:
        return
    prefix = prefixes[name]
    end = common_prefix(prefix.flat, partner.flat)
    tokens = max((common_prefix(prefix.flat, other.flat) for key, other in prefixes.items() if key != name), default=0)
    lost = _count(shared, "tokens") - round(estimate(prefix.flat[:tokens]))
    shorter_itself = _count(before, "tokens") - sum(estimate(part.text) for part in prefix.parts) >= ASSUMED_BLOCK
    if lost >= ASSUMED_BLOCK and not shorter_itself and isinstance(shared, dict):
        why = f"It differs from {shared.get('with')} here."
        yield _shorter(shared, lost, *prefix.locate(end), why, rates, "shared")


def _shorter(
    before: Json, lost: int, path: Path, offset: int, why: str, rates: Rates, subject: str, paid: float | None = None
) -> Finding:
    """Return the finding. `paid`: tokens per request that it costs, if it is less than `lost`."""
    paid = lost if paid is None else paid
    dollars = rates.saved(paid * 1_000)
    tokens = _count(before, "tokens")
    return Finding(
        "serious",
        f"The {subject} prefix is shorter than in the baseline",
        f"≈ {tokens:,} tokens before, ≈ {tokens - lost:,} now. {why} Move what changes behind the stable text, or "
        "accept the change with --update-baseline.",
        evidence=(
            Evidence("tokens lost per request", paid),
            Evidence("tokens lost per 1,000 requests", paid * 1_000),
            Evidence("lost in 1,000 requests", dollars, "dollars"),
        ),
        places=(FindingPlace(path, offset, offset + 1),),
        tokens=paid,
        dollars=dollars,
        subject=subject,
        rule=RULE,
    )


def _edited(before: Json, now: Json, prefix: SharedPrefix) -> Iterator[Finding]:
    """Yield a hint if text of the prefix is not the same as before."""
    old, new = _part_list(before), _part_list(now)
    for at, (left, right) in enumerate(zip(old, new, strict=False)):
        if left.get("hash") == right.get("hash") or (at == len(old) - 1 == len(new) - 1 and _grew(left, right)):
            continue
        start = CHUNK * _shared_chunks(str(left.get("chunks", "")), str(right.get("chunks", "")))
        start = min(start, len(prefix.parts[at].text))
        place = FindingPlace(prefix.parts[at].path, start, min(start + CHUNK, len(prefix.parts[at].text)))
        text = "Requests share the new text from the second one on: a cost once, not for each request."
        yield Finding("hint", "Stable text of the prefix changed", text, places=(place,), subject="edited", rule=RULE)
        return


def _grew(left: Mapping[str, Json], right: Mapping[str, Json]) -> bool:
    shared = _shared_chunks(str(left.get("chunks", "")), str(right.get("chunks", "")))
    return shared >= len(str(left.get("chunks", ""))) // 4 - 1 and _count(right, "tokens") >= _count(left, "tokens")


def _shared_chunks(left: str, right: str) -> int:
    return common_prefix(left, right) // 4


def _note(subject: str, title: str, text: str) -> Finding:
    return Finding("hint", title, text, subject=subject, rule=RULE)


def removed(name: str) -> Finding:
    """Return the note about a prompt of the baseline whose file does not exist."""
    return _note("removed", f"{name} is in the baseline, but not a file", "Run with --update-baseline to remove it.")


def _part_list(entry: Json) -> list[dict[str, Json]]:
    parts = entry.get("parts") if isinstance(entry, dict) else None
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _count(entry: object, key: str) -> int:
    value = entry.get(key) if isinstance(entry, Mapping) else None
    return value if isinstance(value, int) else 0


def entries_of(value: Json) -> dict[str, Json]:
    """Return the entries of a baseline file. Raises InputError with the path of the wrong field."""
    if not isinstance(value, dict) or value.get(FORMAT_KEY) != FORMAT_VERSION:
        raise InputError.of(("--baseline", FORMAT_KEY), "this is not a baseline of version 1.")
    prompts = value.get("prompts")
    if not isinstance(prompts, dict):
        raise InputError.of(("--baseline", "prompts"), "is not an object.")
    for name, entry in prompts.items():
        path: Path = ("--baseline", "prompts", name)
        if not isinstance(entry, dict):
            raise InputError.of(path, "is not an object.")
        if isinstance(entry.get("tokens"), bool) or not isinstance(entry.get("tokens"), int):
            raise InputError.of((*path, "tokens"), "is not a whole number.")
        if not isinstance(entry.get("parts"), list) or not isinstance(entry.get("shared"), dict | None):
            raise InputError.of((*path, "parts"), "is not a list of parts.")
    return prompts


def file_fields(entries: Mapping[str, Json]) -> dict[str, Json]:
    """Return the value of a baseline file, sorted by name."""
    return {FORMAT_KEY: FORMAT_VERSION, "prompts": {name: entries[name] for name in sorted(entries)}}
