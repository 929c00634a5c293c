"""One logged request as Markdown or as a single HTML file: no scripts, nothing loaded, everything escaped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC
from html import escape

from playground.client.endpoint import cost
from playground.export.masking import masked_run, masked_text
from playground.export.terminal import visible, visible_line
from playground.requestlog.records import StoredRun
from playground.runs.metrics import UNKNOWN, Figure, dollars, seconds
from playground.runs.state import RunState

_STYLE = (
    "body{font:14px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1d22;"
    "background:#fff}table{border-collapse:collapse}th,td{text-align:left;padding:.2rem 1rem .2rem 0;"
    "vertical-align:top}th{font-weight:400;color:#5f6673}pre{white-space:pre-wrap;overflow-wrap:anywhere;"
    "background:#f5f6f8;padding:.6rem .8rem;border-radius:6px;font:13px/1.45 ui-monospace,monospace}"
    "h2{font-size:1rem;margin:1.4rem 0 .3rem}"
    "@media(prefers-color-scheme:dark){body{background:#191b20;color:#e7e9ee}pre{background:#23262d}th{color:#a3aab8}}"
)
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def as_markdown(stored: StoredRun) -> str:
    """Return the request as Markdown: figures, messages, parameters, answer. Keys are masked."""
    stored = masked_run(stored)
    state = stored.state()
    rows = "\n".join(
        f"| {name} | {visible_line(value).replace('|', chr(92) + '|')} |" for name, value in _facts(stored, state)
    )
    parts = [f"# Request {visible_line(state.request_id or stored.record.run_id)}", f"| | |\n|---|---|\n{rows}"]
    parts += [f"## {visible_line(title)}\n\n{_fenced(visible(text))}" for title, text in _sections(stored, state)]
    return masked_text("\n\n".join(parts) + "\n")


def as_html(stored: StoredRun) -> str:
    """Return the request as one HTML file that opens without a network. Keys are masked."""
    stored = masked_run(stored)
    state = stored.state()
    title = escape(visible_line(f"Request {state.request_id or stored.record.run_id}"))
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(visible_line(value))}</td></tr>"
        for name, value in _facts(stored, state)
    )
    sections = "".join(
        f"<h2>{escape(visible_line(name))}</h2><pre>{escape(visible(text))}</pre>"
        for name, text in _sections(stored, state)
    )
    return masked_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body><h1>{title}</h1><table>{rows}</table>{sections}</body></html>\n"
    )


def _fenced(text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"


def _facts(stored: StoredRun, state: RunState) -> Iterator[tuple[str, str]]:
    record, usage = stored.record, state.usage
    price = cost(usage, record.rates)
    name = record.endpoint_name + (" (simulated)" if record.endpoint_kind == "simulator" else "")
    yield "request_id", state.request_id or UNKNOWN
    yield "time (UTC)", record.started_utc.astimezone(UTC).isoformat(" ", "milliseconds").removesuffix("+00:00")
    yield "endpoint", f"{name}, {record.base_url}"
    yield "model", record.model
    yield "outcome", f"{state.status or UNKNOWN} {state.finish_reason or stored.phase}"
    yield "prompt tokens", Figure.reported(usage.prompt_tokens if usage else None).text
    yield "cached tokens", Figure.reported(usage.cached_tokens if usage else None).text
    yield "completion tokens", Figure.reported(usage.completion_tokens if usage else None).text
    yield "time to first token", seconds(state.ttft_s)
    yield "total", seconds(state.ended_at)
    yield "input cost", dollars(price.input)


def _sections(stored: StoredRun, state: RunState) -> Iterator[tuple[str, str]]:
    """Yield (title, text) of the body's messages and other fields, and of the answer."""
    try:
        fields = json.loads(stored.record.body)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):  # an imported request may have any body
        yield "Request body", stored.record.body.decode("utf-8", "replace")
    else:
        messages = fields.get("messages")
        for message in messages if isinstance(messages, list) else ():
            known = isinstance(message, dict) and isinstance(message.get("content"), str)
            role = str(message.get("role", "message")) if isinstance(message, dict) else "message"
            extra = {k: v for k, v in message.items() if k not in ("role", "content")} if known else message
            yield role, (message["content"] if known else "") + (f"\n{_pretty(extra)}" if extra else "")
        for name in ("tools",) if "tools" in fields else ():
            yield name, _pretty(fields[name])
        yield "Parameters", _pretty({k: v for k, v in fields.items() if k not in ("messages", "tools")})
    if state.text:
        yield "Answer", state.text
    for _, call in sorted(state.tool_calls.items()):
        yield f"Tool call {call.name}", call.arguments
    if state.error is not None:
        yield "Error", f"{state.error.title}\n{state.error.detail}\n{state.error.body}".strip()


def _pretty(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)
