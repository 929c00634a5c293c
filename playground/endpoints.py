"""The endpoints that this user knows: the two built-in ones, and those that were added. No key is in this file."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable
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
from playground.folders import set_aside, write_private
from playground.prompt.document import Json
from playground.prompt.problems import BadInput, Problem

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


class EndpointBook:
    """All endpoints, in the order in which they are shown. Every change is on disk when it returns."""

    def __init__(self, path: Path) -> None:
        """A file that cannot be read as endpoints is set aside, and `notice` says so."""
        self._path = path
        self._listeners: list[Callable[[], None]] = []
        self.notice = ""
        self._endpoints = {endpoint.id: endpoint for endpoint in BUILT_IN}
        self._read()

    def _read(self) -> None:
        try:
            rows = json.loads(self._path.read_bytes())
            found = [_endpoint(row) for row in rows["endpoints"]]
        except FileNotFoundError:
            return
        except OSError as error:
            self.notice = f"The endpoints cannot be read ({error.strerror or error}); only the built-in ones are there."
        except (ValueError, KeyError, TypeError, BadInput):
            self.notice = f"The file of endpoints was damaged; it is kept as {set_aside(self._path).name}."
        else:
            for endpoint in found:
                self._endpoints[endpoint.id] = _as_built_in(endpoint)

    def all(self) -> tuple[Endpoint, ...]:
        """Every endpoint: the simulator, Electron, then those added, oldest first."""
        return tuple(self._endpoints.values())

    def get(self, endpoint_id: str) -> Endpoint:
        """The endpoint of that id. Raises KeyError."""
        return self._endpoints[endpoint_id]

    def by_name(self, text: str) -> Endpoint:
        """The endpoint of that name or id, whatever the case. Raises BadInput that lists the names."""
        wanted = text.strip().casefold()
        for endpoint in self.all():
            if wanted in (endpoint.name.casefold(), endpoint.id.casefold()):
                return endpoint
        names = ", ".join(endpoint.name for endpoint in self.all())
        raise BadInput(Problem(("endpoint",), f"there is no endpoint called {text!r}.", f"There are: {names}."))

    def add(self, endpoint: Endpoint) -> Endpoint:
        """Add an endpoint (its id is replaced by a new one). Returns it as it is kept. Raises BadInput."""
        endpoint = self._checked(replace(endpoint, id=uuid.uuid4().hex, kind="other"))
        self._endpoints[endpoint.id] = endpoint
        self._write()
        return endpoint

    def change(self, endpoint: Endpoint) -> Endpoint:
        """Keep changed values; of a built-in one its model, plan and rates. Raises BadInput, KeyError."""
        self.get(endpoint.id)
        endpoint = self._checked(_as_built_in(endpoint))
        self._endpoints[endpoint.id] = endpoint
        self._write()
        return endpoint

    def remove(self, endpoint_id: str) -> None:
        """Forget an endpoint that was added. Raises BadInput for a built-in one."""
        if self.get(endpoint_id).kind != "other":
            raise BadInput(Problem(("endpoint",), "a built-in endpoint cannot be removed."))
        del self._endpoints[endpoint_id]
        self._write()

    def listen(self, listener: Callable[[], None]) -> None:
        """Be told of every change."""
        self._listeners.append(listener)

    def _checked(self, endpoint: Endpoint) -> Endpoint:
        name, model = endpoint.name.strip(), endpoint.model.strip()
        if not name:
            raise BadInput(Problem(("name",), "the endpoint has no name.", "Give it one."))
        if any(other.name.casefold() == name.casefold() and other.id != endpoint.id for other in self.all()):
            raise BadInput(Problem(("name",), f"another endpoint is called {name}.", "Choose another name."))
        if not model:
            raise BadInput(Problem(("model",), "the model is empty.", "Give the name that requests shall carry."))
        _check_rates(endpoint.rates)
        base_url = endpoint.base_url if endpoint.kind == "simulator" else check_base_url(endpoint.base_url)
        return replace(endpoint, name=name, model=model, base_url=base_url)

    def _write(self) -> None:
        rows = [_row(endpoint) for endpoint in self.all()]
        try:
            write_private(self._path, json.dumps({"endpoints": rows}, ensure_ascii=False, indent=1).encode())
        except OSError as error:
            raise BadInput(Problem((), f"the endpoints cannot be saved: {error.strerror or error}.")) from error
        for listener in list(self._listeners):
            listener()


def _as_built_in(endpoint: Endpoint) -> Endpoint:
    """A built-in endpoint keeps its own name and address, whatever a file says."""
    for own in BUILT_IN:
        if own.id == endpoint.id:
            return replace(own, model=endpoint.model, plan=endpoint.plan, rates=endpoint.rates)
    return replace(endpoint, kind="other")


def _check_rates(rates: Rates) -> None:
    for name in ("fresh", "cached", "output"):
        value = getattr(rates, name)
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise BadInput(
                Problem(("rates", name), "a rate is a number from 0 on.", "Leave it empty where it is not known.")
            )


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
    found = Rates(_number(rates["fresh"]), _number(rates["cached"]), _number(rates["output"]), str(rates["source"]))
    _check_rates(found)
    return Endpoint(
        id=str(row["id"]),
        name=str(row["name"]),
        base_url="" if built_in else check_base_url(str(row["base_url"])),
        model=str(row["model"]),
        needs_key=bool(row["needs_key"]),
        plan=PlanLimits(str(plan["name"]), _whole(plan["requests_per_minute"]), _whole(plan["in_flight"])),
        rates=found,
    )


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
