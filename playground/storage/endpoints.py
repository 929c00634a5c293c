"""The endpoints: two built-in ones, and those that the user added. The file contains no API key."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, convert, to_builtins
from msgspec.structs import replace

from playground.client.endpoint import (
    CONTEXT_SOURCES,
    ELECTRON_BASE_URL,
    ELECTRON_ID,
    PLANS,
    PUBLISHED_RATES,
    SIMULATOR_ID,
    Endpoint,
    PlanLimits,
    Rates,
    check_base_url,
    refuse_key,
)
from playground.prompt.document import Json
from playground.prompt.field_errors import InputError
from playground.prompt.limits import CONTEXT_TOKENS
from playground.storage.json_file import JsonFile, SharedFile, Submit, write_now
from playground.tasks import Subscribers

_ELECTRON = Endpoint(
    id=ELECTRON_ID,
    name="Electron",
    base_url=ELECTRON_BASE_URL,
    kind="electron",
    needs_key=True,
    plan=PLANS["standard"],
    rates=PUBLISHED_RATES,
    context_tokens=CONTEXT_TOKENS,
    context_source="documented",
)
# The simulator's address is known when its process has started.
_SIMULATOR = replace(
    _ELECTRON, id=SIMULATOR_ID, name="Built-in simulator", base_url="", kind="simulator", needs_key=False
)
BUILT_IN = (_SIMULATOR, _ELECTRON)


class _StoredEndpoints(Struct):
    """The endpoints of a file by id, the built-in ones first, and what was wrong with its rows."""

    endpoints: dict[str, Endpoint]
    cleaned: list[Endpoint] = []
    """Their addresses in the file have a password or key; here they have none."""
    renamed: list[Endpoint] = []
    """Another endpoint of the file had the same id: they have a new one."""
    unusable: list[str] = []
    """A sentence about each row that is not an endpoint."""


class _FileContents(Struct):
    """The endpoints of the file by id, those of them that must be written again, and a notice for the user."""

    endpoints: dict[str, Endpoint]
    changed: list[Endpoint]
    notice: str


class EndpointStore(SharedFile):
    """All endpoints, in display order. A change applies at once."""

    _subject, _consequence = "The endpoints", " Changes are lost when the program ends."

    def __init__(
        self, path: Path, submit: Submit = write_now, on_error: Callable[[str], None] = lambda _message: None
    ) -> None:
        """Read the file. One that cannot be read as endpoints is set aside, and `notice` says so.

        `on_error` is called with `notice` if the endpoints cannot be saved.
        """
        super().__init__(
            JsonFile(path, "The file of endpoints", masked=True, recover=_recovered_rows), submit, on_error
        )
        self._changes: Subscribers[[]] = Subscribers()
        found = self._read()
        self._endpoints, self.notice = found.endpoints, found.notice
        self._stamp: tuple[int, ...] | None = None
        self._unsaved = {endpoint.id: endpoint for endpoint in found.changed}
        self._end_reading()

    def _read(self) -> _FileContents:
        """Read the file. One with an unusable endpoint is set aside whole: the others must be written to a new one."""
        stored = self._file.read(_parsed) or _StoredEndpoints(_built_in())
        added = [endpoint for endpoint in stored.endpoints.values() if endpoint not in BUILT_IN]
        changed = [*stored.renamed, *stored.cleaned]
        sentences = [self._file.notice]
        if self._file.recovered:
            changed = added
            sentences.append(f"Recovered endpoints: {_names(added) or 'none'}.")
        elif stored.unusable:
            changed = added
            sentences = [self._file.set_aside()]
        if stored.unusable:
            sentences.append(f"Endpoints that cannot be used: {' '.join(stored.unusable)}")
        if stored.renamed:
            names = _names(stored.renamed)
            sentences.append(f"Two endpoints had the same id: {names} got another one. Enter its API key again.")
        if stored.cleaned:
            names = _names(stored.cleaned)
            sentences.append(
                f"The password or key was removed from the base URL of {names}. The key has its own field."
            )
        return _FileContents(stored.endpoints, changed, " ".join(filter(None, sentences)))

    def all(self) -> tuple[Endpoint, ...]:
        """Return every endpoint: the simulator, Electron, then those added, oldest first."""
        return tuple(self._endpoints.values())

    def get(self, endpoint_id: str) -> Endpoint:
        """Return the endpoint with that id. Raises KeyError."""
        return self._endpoints[endpoint_id]

    def by_name(self, text: str) -> Endpoint:
        """Return the endpoint with that name or id, case-insensitively. Raises InputError that lists the names."""
        wanted = text.strip().casefold()
        for endpoint in self.all():
            if wanted in (endpoint.name.casefold(), endpoint.id.casefold()):
                return endpoint
        hint = f"There are: {_names(self.all())}."
        if copies := self._file.copies():
            hint += f" The file of endpoints was damaged; copies: {', '.join(map(str, copies))}."
        raise InputError.of(("endpoint",), f"there is no endpoint called {text!r}.", hint)

    def add(self, endpoint: Endpoint) -> Endpoint:
        """Add an endpoint under a new id. Returns the stored endpoint. Raises InputError."""
        return self._store(replace(endpoint, id=os.urandom(16).hex(), kind="other"))

    def change(self, endpoint: Endpoint) -> Endpoint:
        """Change an endpoint; of a built-in one its model, plan and rates. Raises InputError, KeyError."""
        self.get(endpoint.id)
        return self._store(_as_built_in(endpoint))

    def learn_context(self, endpoint: Endpoint, refused: int | None, served: int | None = None) -> None:
        """Store the context length that a refusal of this endpoint named, unless its server or model changed since.

        `served`: tokens of an answered request; more than a learned length disproves it. Ignores built-in endpoints.
        """
        known = self._endpoints.get(endpoint.id)
        if known is None or known.kind != "other":
            return
        if (known.base_url, known.model) != (endpoint.base_url, endpoint.model):
            return
        if refused is not None and refused > 0 and refused != known.context_tokens:
            self._store(replace(known, context_tokens=refused, context_source="learned"))
        elif known.context_source == "learned" and (served or 0) > (known.context_tokens or 0):
            self._store(replace(known, context_tokens=None, context_source=""))

    def remove(self, endpoint_id: str) -> None:
        """Remove an endpoint that was added. Raises InputError for a built-in one, KeyError for an unknown id."""
        if self.get(endpoint_id).kind != "other":
            raise InputError.of(("endpoint",), "a built-in endpoint cannot be removed.")
        self._endpoints = {key: endpoint for key, endpoint in self._endpoints.items() if key != endpoint_id}
        self._changed(endpoint_id, None)

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after every change. Returns the function that unsubscribes."""
        return self._changes.subscribe(callback)

    def _store(self, endpoint: Endpoint) -> Endpoint:
        endpoint = _checked(endpoint, self._endpoints)
        self._endpoints = {**self._endpoints, endpoint.id: endpoint}
        self._changed(endpoint.id, endpoint)
        return endpoint

    def _changed(self, endpoint_id: str, endpoint: Endpoint | None) -> None:
        self._put({endpoint_id: endpoint})
        self._changes()

    def write_again(self) -> None:
        """Write all endpoints: the file was deleted."""
        self._put(self._endpoints, older=True)

    async def refresh(self) -> bool:
        """Take over what another window or command has added or changed. Returns whether there was anything.

        An endpoint that was removed there stays here until the next start: it may be in use.
        """
        stamp = await asyncio.to_thread(self._file.stamp)
        if stamp in (None, self._stamp) or self._unsaved or self._writing:
            return False
        before = self._endpoints
        found = await asyncio.to_thread(self._read)
        if found.notice:
            self._report(found.notice)
            if found.changed or await asyncio.to_thread(self._file.stamp) is None:  # damaged, and set aside
                self._endpoints = {**self._endpoints, **found.endpoints, **self._endpoints}
                self.write_again()
                self._changes()
            self._stamp = stamp
            return bool(found.changed)
        if self._unsaved or self._writing or before is not self._endpoints:
            return False  # changed here meanwhile: with the next look
        self._stamp, self._endpoints = stamp, {**before, **found.endpoints}
        if self._endpoints == before:
            return False
        self._changes()
        return True

    def _write(self, changed: dict[str, Endpoint | None]) -> str:
        saved = {**self._read().endpoints, **changed}
        self._file.write({"endpoints": [_row(endpoint) for endpoint in saved.values() if endpoint is not None]})
        return ""


def _built_in() -> dict[str, Endpoint]:
    return {endpoint.id: endpoint for endpoint in BUILT_IN}


def _checked(endpoint: Endpoint, known: Mapping[str, Endpoint]) -> Endpoint:
    endpoint = replace(endpoint, name=endpoint.name.strip(), model=endpoint.model.strip())
    _check_texts(endpoint)
    _check_unique(endpoint.name, [other for other in known.values() if other.id != endpoint.id])
    _check_plan(endpoint.plan)
    _check_rates(endpoint.rates)
    for name, text in (("name", endpoint.name), ("model", endpoint.model), ("base_url", endpoint.base_url)):
        refuse_key(name, text)
    base_url = endpoint.base_url if endpoint.kind == "simulator" else check_base_url(endpoint.base_url)
    return replace(endpoint, base_url=base_url)


def _check_texts(endpoint: Endpoint) -> None:
    if not endpoint.name:
        raise InputError.of(("name",), "the endpoint has no name.", "Give it one.")
    if not endpoint.name.isprintable():
        raise InputError.of(("name",), "the name has an invisible character.", "Type it on one line.")
    if not endpoint.model or not endpoint.model.isprintable():
        raise InputError.of(
            ("model",),
            "the model has an invisible character." if endpoint.model else "the model is empty.",
            "Enter the name that requests send.",
        )


def _check_unique(name: str, others: Iterable[Endpoint]) -> None:
    # `--endpoint` accepts ids too.
    taken = {text.casefold() for other in others for text in (other.name, other.id)}
    if name.casefold() in taken:
        raise InputError.of(("name",), f"another endpoint is called {name}.", "Choose another name.")


def _as_built_in(endpoint: Endpoint) -> Endpoint:
    """Return a built-in endpoint with its own name and address, which no file can change."""
    for own in BUILT_IN:
        if own.id == endpoint.id:
            return replace(own, model=endpoint.model, plan=endpoint.plan, rates=endpoint.rates)
    return replace(endpoint, kind="other")


def _check_plan(plan: PlanLimits) -> None:
    for name in ("requests_per_minute", "in_flight"):
        value = getattr(plan, name)
        if value is not None and value < 1:
            raise InputError.of(
                ("plan", name), "a limit is a whole number, at least 1.", "Leave it empty for no limit."
            )


def _check_rates(rates: Rates) -> None:
    for name in ("fresh", "cached", "output"):
        value = getattr(rates, name)
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise InputError.of(("rates", name), "a rate is a number, at least 0.", "Leave it empty if it is unknown.")


_OPTIONAL = ("context_tokens", "context_source")
"""Members that are missing in files of versions before they could be set."""
_MEMBERS = tuple(name for name in Endpoint.__struct_fields__ if name != "kind")


def member_names() -> tuple[str, ...]:
    return ("endpoints", *_MEMBERS, *PlanLimits.__struct_fields__, *Rates.__struct_fields__)


def _names(endpoints: Iterable[Endpoint]) -> str:
    return ", ".join(endpoint.name for endpoint in endpoints)


def _recovered_rows(data: bytes) -> Json:
    # Imported here: most starts find no damaged file.
    from playground.storage import damaged_files

    text = damaged_files.with_read_names(damaged_files.text_of(data), ("name", "source"))
    return {"endpoints": damaged_files.rows(text, keys=("id", "name", "base_url"), names=_MEMBERS)}


def _parsed(value: Json) -> _StoredEndpoints:
    """Return the endpoints in a file's value. Raises ValueError for another shape."""
    found = _StoredEndpoints(endpoints := _built_in())
    seen: set[str] = set()
    for place, row in enumerate(convert(convert(value, dict[str, Any])["endpoints"], list[Any]), 1):
        bare = ""
        try:
            endpoint = _as_read(row)
            if bare := _without_secret(endpoint.base_url):
                endpoint = replace(endpoint, base_url=bare)
            endpoint = _as_built_in(_usable(endpoint))
            if endpoint.id in seen and endpoint.kind != "other":
                raise ValueError("an earlier one has the same id")
        except (ValueError, OverflowError) as error:
            found.unusable.append(_why_unusable(place, row, error))
            continue
        if endpoint.id in seen:
            if endpoint == endpoints[endpoint.id]:
                continue
            endpoint = _with_free_id(endpoint, endpoints)
            found.renamed.append(endpoint)
        seen.add(endpoint.id)
        endpoints[endpoint.id] = endpoint
        if bare:
            found.cleaned.append(endpoint)
    return found


def _with_free_id(endpoint: Endpoint, known: Mapping[str, Endpoint]) -> Endpoint:
    """Return the endpoint under an id, and a name, that no other one has: the same ones each time the file is read."""
    names = {text.casefold() for other in known.values() for text in (other.id, other.name)}
    number = 2
    while f"{endpoint.id}-{number}".casefold() in names:
        number += 1
    name = endpoint.name
    if name.casefold() in names:
        last = number
        while f"{name} {last}".casefold() in names:
            last += 1
        name = f"{name} {last}"
    return replace(endpoint, id=f"{endpoint.id}-{number}", name=name)


def _why_unusable(place: int, row: Any, error: Exception) -> str:
    # Imported here: most files have no such row.
    from playground.client.redact import redact

    name = row.get("name") if isinstance(row, dict) else None
    named = f"number {place}"
    if isinstance(name, str) and name and name.isprintable():
        named += f" ({redact(name, None)})"
    problem = error.problems[0].message if isinstance(error, InputError) else str(error)
    return f"{named}: {problem.rstrip('.')}."


def _without_secret(base_url: str) -> str:
    """Return the address without its password or key; "" if it has none."""
    if not base_url:
        return ""
    # Imported here: the first frame of a user without other endpoints does not need it.
    from playground.client.credentials import has_secret, without_secret

    return without_secret(base_url) if has_secret(base_url) else ""


def _as_read(row: Json) -> Endpoint:
    """Return the endpoint of a row. Raises ValueError if a member is missing or of another type."""
    members = convert(row, dict[str, Any])
    for missing in (name for name in _MEMBERS if name not in (*_OPTIONAL, *members)):
        raise ValueError(f"{missing} is missing")
    source = next((one for one in CONTEXT_SOURCES if one == members.get("context_source")), "")
    return convert({**members, "kind": "other", "context_source": source}, Endpoint)


def _usable(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint of the file with a checked address. Raises ValueError."""
    plan = endpoint.plan
    limits = (plan.requests_per_minute, plan.in_flight, endpoint.context_tokens)
    if any(limit is not None and limit < 1 for limit in limits):
        raise ValueError("a limit is at least 1")
    _check_texts(endpoint)
    _check_rates(endpoint.rates)
    own = endpoint.id in (SIMULATOR_ID, ELECTRON_ID)
    return replace(endpoint, base_url="" if own else check_base_url(endpoint.base_url))


def _row(endpoint: Endpoint) -> Json:
    members: dict[str, Json] = to_builtins(endpoint)
    return {name: members[name] for name in _MEMBERS}
