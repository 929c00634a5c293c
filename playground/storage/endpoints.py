"""The endpoints that this user knows: the two built-in ones, and those that were added. No key is in this file."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from playground.client.endpoint import (
    ELECTRON_BASE_URL,
    ELECTRON_ID,
    PLANS,
    PUBLISHED_RATES,
    SIMULATOR_ID,
    Endpoint,
    PlanLimits,
    Rates,
)
from playground.client.urls import check_base_url
from playground.prompt.document import Json
from playground.prompt.field_errors import FieldError, InputError
from playground.storage.json_file import JsonFile

BUILT_IN = (
    Endpoint(
        id=SIMULATOR_ID,
        name="Built-in simulator",
        base_url="",  # known once its process has started
        kind="simulator",
        needs_key=False,
        plan=PLANS["standard"],
        rates=PUBLISHED_RATES,
    ),
    Endpoint(
        id=ELECTRON_ID,
        name="Electron",
        base_url=ELECTRON_BASE_URL,
        kind="electron",
        needs_key=True,
        plan=PLANS["standard"],
        rates=PUBLISHED_RATES,
    ),
)


class EndpointStore:
    """All endpoints, in the order in which they are shown. Every change is on disk when it returns.

    Two windows on one folder share the file: each change is made to what the file holds by then.
    """

    def __init__(self, path: Path) -> None:
        """A file that cannot be read as endpoints is set aside, and `notice` says so."""
        self._file = JsonFile(path, "The file of endpoints")
        self._listeners: list[Callable[[], None]] = []
        self._endpoints = self._read() or _built_in()
        self.notice = self._file.notice

    def _read(self) -> dict[str, Endpoint] | None:
        return self._file.read(_endpoints)

    def all(self) -> tuple[Endpoint, ...]:
        """Every endpoint: the simulator, Electron, then those added, oldest first."""
        return tuple(self._endpoints.values())

    def get(self, endpoint_id: str) -> Endpoint:
        """The endpoint of that id. Raises KeyError."""
        return self._endpoints[endpoint_id]

    def by_name(self, text: str) -> Endpoint:
        """The endpoint of that name or id, whatever the case. Raises InputError that lists the names."""
        wanted = text.strip().casefold()
        for endpoint in self.all():
            if wanted in (endpoint.name.casefold(), endpoint.id.casefold()):
                return endpoint
        names = ", ".join(endpoint.name for endpoint in self.all())
        raise InputError(FieldError(("endpoint",), f"there is no endpoint called {text!r}.", f"There are: {names}."))

    def add(self, endpoint: Endpoint) -> Endpoint:
        """Add an endpoint (its id is replaced by a new one). Returns it as it is kept. Raises InputError."""
        known = self._known()
        endpoint = _checked(replace(endpoint, id=os.urandom(16).hex(), kind="other"), known)
        self._keep({**known, endpoint.id: endpoint})
        return endpoint

    def change(self, endpoint: Endpoint) -> Endpoint:
        """Keep changed values; of a built-in one its model, plan and rates. Raises InputError, KeyError."""
        self.get(endpoint.id)
        known = self._known()
        endpoint = _checked(_as_built_in(endpoint), known)
        self._keep({**known, endpoint.id: endpoint})
        return endpoint

    def remove(self, endpoint_id: str) -> None:
        """Forget an endpoint that was added. Raises InputError for a built-in one, KeyError for an unknown id."""
        if self.get(endpoint_id).kind != "other":
            raise InputError(FieldError(("endpoint",), "a built-in endpoint cannot be removed."))
        known = self._known()
        known.pop(endpoint_id, None)
        self._keep(known)

    def listen(self, listener: Callable[[], None]) -> None:
        """Be told of every change."""
        self._listeners.append(listener)

    def _known(self) -> dict[str, Endpoint]:
        """What the file holds now; what this window knows where the file is gone or damaged."""
        return self._read() or dict(self._endpoints)

    def _keep(self, endpoints: dict[str, Endpoint]) -> None:
        rows: list[Json] = [_row(endpoint) for endpoint in endpoints.values()]
        try:
            self._file.write({"endpoints": rows})
        except OSError as error:
            raise InputError(
                FieldError(
                    (),
                    f"the endpoints cannot be saved: {error.strerror or error}.",
                    "Nothing was changed; see to the data folder and try again.",
                )
            ) from error
        self._endpoints = endpoints
        for listener in list(self._listeners):
            listener()


def _built_in() -> dict[str, Endpoint]:
    return {endpoint.id: endpoint for endpoint in BUILT_IN}


def _checked(endpoint: Endpoint, known: Mapping[str, Endpoint]) -> Endpoint:
    name, model = endpoint.name.strip(), endpoint.model.strip()
    _check_name(name, [other for other in known.values() if other.id != endpoint.id])
    if not model or not model.isprintable():
        raise InputError(
            FieldError(
                ("model",),
                "the model has a character that cannot be seen." if model else "the model is empty.",
                "Give the name that requests shall carry.",
            )
        )
    _check_plan(endpoint.plan)
    _check_rates(endpoint.rates)
    base_url = endpoint.base_url if endpoint.kind == "simulator" else check_base_url(endpoint.base_url)
    return replace(endpoint, name=name, model=model, base_url=base_url)


def _check_name(name: str, others: Iterable[Endpoint]) -> None:
    if not name:
        raise InputError(FieldError(("name",), "the endpoint has no name.", "Give it one."))
    if not name.isprintable():
        raise InputError(FieldError(("name",), "the name has a character that cannot be seen.", "Type it on one line."))
    # An id counts as well: `--endpoint` takes either.
    taken = {text.casefold() for other in others for text in (other.name, other.id)}
    if name.casefold() in taken:
        raise InputError(FieldError(("name",), f"another endpoint is called {name}.", "Choose another name."))


def _as_built_in(endpoint: Endpoint) -> Endpoint:
    """A built-in endpoint keeps its own name and address, whatever a file says."""
    for own in BUILT_IN:
        if own.id == endpoint.id:
            return replace(own, model=endpoint.model, plan=endpoint.plan, rates=endpoint.rates)
    return replace(endpoint, kind="other")


def _check_plan(plan: PlanLimits) -> None:
    for name in ("requests_per_minute", "in_flight"):
        value = getattr(plan, name)
        if value is not None and value < 1:
            raise InputError(
                FieldError(
                    ("plan", name), "a limit is a whole number from 1 on.", "Leave it empty where there is none."
                )
            )


def _check_rates(rates: Rates) -> None:
    for name in ("fresh", "cached", "output"):
        value = getattr(rates, name)
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise InputError(
                FieldError(("rates", name), "a rate is a number from 0 on.", "Leave it empty where it is not known.")
            )


def _endpoints(value: Json) -> dict[str, Endpoint]:
    """The endpoints that a file's value holds, the built-in ones first. Raises one of `kept.KeptFile`'s damages."""
    if not isinstance(value, dict) or not isinstance(value["endpoints"], list):
        raise TypeError("endpoints are a list")
    endpoints = _built_in()
    for row in value["endpoints"]:
        if not isinstance(row, dict):
            raise TypeError("an endpoint is a table")
        endpoint = _as_built_in(_endpoint(row))
        endpoints[endpoint.id] = endpoint
    return endpoints


def _row(endpoint: Endpoint) -> dict[str, Json]:
    plan, rates = endpoint.plan, endpoint.rates
    return {
        "id": endpoint.id,
        "name": endpoint.name,
        "base_url": endpoint.base_url,
        "model": endpoint.model,
        "needs_key": endpoint.needs_key,
        "plan": {"name": plan.name, "requests_per_minute": plan.requests_per_minute, "in_flight": plan.in_flight},
        "rates": {"fresh": rates.fresh, "cached": rates.cached, "output": rates.output, "source": rates.source},
    }


def _endpoint(row: dict[str, Json]) -> Endpoint:
    plan, rates = row["plan"], row["rates"]
    if not isinstance(plan, dict) or not isinstance(rates, dict):
        raise TypeError("a plan and rates are tables")
    built_in = row["id"] in (SIMULATOR_ID, ELECTRON_ID)
    found = Rates(_number(rates["fresh"]), _number(rates["cached"]), _number(rates["output"]), _text(rates["source"]))
    _check_rates(found)
    return Endpoint(
        id=_text(row["id"]),
        name=_text(row["name"]),
        base_url="" if built_in else check_base_url(_text(row["base_url"])),
        model=_text(row["model"]),
        needs_key=_flag(row["needs_key"]),
        plan=PlanLimits(_text(plan["name"]), _whole(plan["requests_per_minute"]), _whole(plan["in_flight"])),
        rates=found,
    )


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value


def _flag(value: Json) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not true or false")
    return value


def _number(value: Json) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("a rate is a number")
    return float(value)


def _whole(value: Json) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise TypeError("a limit is a whole number from 1 on")
    return value
