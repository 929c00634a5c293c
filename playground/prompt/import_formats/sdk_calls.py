"""The call of an SDK in a program. Nothing is simulated: what is no literal, and no name set once to one, is open."""

from __future__ import annotations

import builtins
import inspect
import re
import textwrap
from bisect import bisect
from collections.abc import Callable, Container, Hashable, Iterator, Sequence, Set
from contextlib import suppress
from typing import NoReturn, TypeAlias

from msgspec import Struct, field

from playground.prompt.field_errors import InputError
from playground.prompt.import_formats.api_bodies import Report
from playground.prompt.import_formats.call_values import CALL, MAX_CHARS, Gap, Open, Values, words
from playground.prompt.json_text import loads

Shape: TypeAlias = tuple[str, object, int, object, Sequence[object]]
"""Kind, name or value, line, source, and parts of a piece of syntax."""
_SDK_CALL = re.compile(CALL.pattern + r"\Z")
_MAX_PARTS = 60_000
_MAX_DEPTH = 400
_MAX_BINDINGS = 50
_SDKS = re.compile(r"(?:openai|anthropic|@anthropic-ai/sdk|smallestai)(?![\w-])")
_CLIENTS = re.compile(_SDKS.pattern + r"|(?:requests|httpx|axios|node-fetch|aiohttp|urllib|http\.client)(?![\w-])")
"""Packages whose clients are known."""
_MAKERS = words("OpenAI AsyncOpenAI AzureOpenAI AsyncAzureOpenAI Anthropic AsyncAnthropic SmallestAI AsyncSmallestAI")
_API = words("chat completions responses messages beta with_raw_response withRawResponse waves electron")
_WITH_OPTIONS = words("with_options withOptions")
_BINDING = words("let var bind import function class")
_FUNCTIONS = words("function class")
_RUNS = words("function loop")
"""What has another value of a name each time that it runs."""
_NESTING = words("list dict pair spread keyword sum")
_READING = words(
    "print pprint len str int float bool repr type json.dumps pprint.pprint console.log console.error console.info "
    "console.debug console.table JSON.stringify Array.isArray String Number"
)
"""Functions that do not change their arguments."""
_BUILT_IN = words("len str int float bool repr type dict print JSON Array String Number Object Math console")
_PRINTING = words("rich pprint builtins icecream")
"""Python modules whose `print` changes nothing."""
_JSON_MODULES = words("json simplejson ujson orjson rapidjson")
"""Python modules whose `dumps` writes JSON."""
_TEXT_METHODS = words(
    "strip lstrip rstrip lower upper title startswith endswith split splitlines isdigit trim trimEnd trimStart "
    "toLowerCase toUpperCase startsWith endsWith includes toString"
)
_SETTINGS = words(
    "api_key apiKey base_url baseURL api_base api_version api_type organization project timeout max_retries"
)
"""Properties of a client or package that do not change the body."""
_SENDING = words(
    "chat completions create post request send fetch stringify dumps loads parse complete stream Completions OpenAI "
    "JSON console push trim dedent cleandoc __init__ __call__ __getattr__ toJSON"
)
_OPEN_MODULES = words("os process sys module exports st streamlit app window document")
"""Modules of which a property may be set."""
_GLOBALS = words("JSON Array String Object Math global console openai")
_DYNAMIC_NAMES = {
    True: words("exec eval compile globals locals vars setattr delattr __import__ __builtins__"),
    False: words("eval with Function Proxy Reflect globalThis"),
}
"""Functions that may change any value, in Python and in JavaScript."""
_DYNAMIC = words(
    "__main__ builtins FunctionType __defineGetter__ defineProperty defineProperties setPrototypeOf prototype "
    "__proto__ f_globals f_locals f_back __globals__ __code__ __dict__ __class__ __setattr__ __delattr__ "
    "__getattribute__ __eq__ __ne__ __contains__ __add__ __radd__ __iadd__ _getframe settrace setprofile "
    "getPrototypeOf get_objects get_referrers get_referents interceptors monkeypatch"
)
_PATCHING = words("unittest.mock mock importlib gc ctypes builtins __main__ sys.modules vm node:vm module node:module")
_TRANSPORT = words("http_client httpClient fetch fetchOptions event_hooks hooks mount transport transformRequest")
"""Options that may change what a client sends."""
_NETWORK = tuple(words("requests. httpx. aiohttp. urllib. urllib3. http.client. socket. axios. got. ky. undici."))
_METHODS = words("post patch request send sendall stream urlopen fetch")
_REQUESTS = (".request", ".stream")
_SAYING = words("info debug warning error urljoin URL")
_ADDRESSES = words("const list template")
_STREAMED = words("with_streaming_response withStreamingResponse")
_EXITS = words("exit quit _exit sys.exit os._exit process.exit")
_SPACES = "\t\n\v\f\r \xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200B)))


class Node(Struct, eq=False):
    """A piece of a program. `at`: its number in the order of the text; `last`: that of the last piece in it."""

    kind: str
    name: str
    value: object
    line: int
    source: object
    parent: Node | None
    at: int
    depth: int
    last: int = 0
    parts: list[Node] = field(default_factory=list)

    def has(self, other: Node) -> bool:
        return self.at <= other.at <= self.last

    def outer(self) -> Iterator[Node]:
        """Yield the nodes around it, from inside to outside."""
        node = self.parent
        while node is not None:
            yield node
            node = node.parent


def tree(root: object, shape: Callable[[object], Shape]) -> list[Node]:
    """Return the nodes of a program in the order of its text. Raises InputError if there are too many."""
    nodes: list[Node] = []
    todo: list[tuple[object, Node | None]] = [(root, None)]
    while todo:
        native, parent = todo.pop()
        kind, name, line, source, parts = shape(native)
        path = name[1] if isinstance(name, tuple) else name
        name = name[0] if isinstance(name, tuple) else name
        line = line or (parent.line if parent is not None else 1)
        depth = parent.depth + 1 if parent is not None else 0
        if depth > _MAX_DEPTH:
            _refuse(line, "the program is nested too deeply")
        node = Node(kind, name if isinstance(name, str) else "", path, line, source, parent, len(nodes), depth)
        nodes.append(node)
        if parent is not None:
            parent.parts.append(node)
        if len(nodes) > _MAX_PARTS:
            raise InputError.of((), f"the program has more than {_MAX_PARTS:,} parts.")
        todo += [(part, node) for part in reversed(parts)]
    for node in reversed(nodes):
        node.last = node.parts[-1].last if node.parts else node.at
    return nodes


def _refuse(line: int, why: str, advice: str = "Paste the request body, or the call alone.") -> NoReturn:
    raise InputError.of((), f"line {line}: {why}.", advice)


class ParsedProgram:
    """The names of a program, its call, and the values of the call's arguments."""

    def __init__(
        self, nodes: list[Node], values: Values, report: Report, source: Callable[[object], str], *, is_python: bool
    ) -> None:
        """`source`: returns the text of a piece of syntax."""
        self._nodes, self._values, self._report, self._is_python = nodes, values, report, is_python
        self._text = source
        self._scope_kinds = _FUNCTIONS if is_python else words("function class block loop scope")
        self._bindings: dict[str, list[Node]] = {}
        self._mentions: dict[str, list[Node]] = {}
        self._scope_of: dict[int, Node] = {}
        self._sets: dict[str, list[Node]] = {}
        self._ends: dict[int, int] = {}  # of blocks
        for node in nodes:
            if node.kind in _BINDING and node.name:
                self._bindings.setdefault(node.name, []).append(node)
                self._scope_of[node.at] = self._around(node, _FUNCTIONS if node.kind == "var" else self._scope_kinds)
            elif node.kind == "name":
                self._mentions.setdefault(node.name, []).append(node)
            elif node.kind == "set":
                self._sets.setdefault(node.name, []).append(node)
            elif node.kind == "end" and node.parent is not None:
                self._ends.setdefault(node.parent.at, node.at)
            elif node.kind == "call" and node.parts[0].name in _EXITS and self._path(node.parts[0]) in _EXITS:
                statement = node.parent if node.parent is not None and node.parent.kind == "expression" else node
                self._ends.setdefault(statement.parent.at if statement.parent is not None else 0, node.at)
        self._known: dict[int, object] = {}
        self._changes: dict[int, tuple[str, list[Node]]] = {}
        self._refuse_dynamic()
        calls = [node for node in nodes if node.kind == "call" and _SDK_CALL.search(self._path(node.parts[0]) + "(")]
        self._calls = [*filter(self._is_prompt, calls)] or calls
        self._is_post = not self._calls
        self._call = self._first_call()
        values.line = self._call.line
        # A call that is not awaited may send what is changed behind it.
        is_async = not is_python or any("Async" in name for name in (*self._mentions, *self._bindings))
        outer = self._call.parent
        self._is_sent = not is_async or (outer is not None and outer.kind == "await")
        sdk = {one.at for one in (*self._calls, self._call)}
        acting = (one for one in nodes if one.kind == "call" and one.at not in sdk)
        self._acting = [one.at for one in acting if not self._is_reading(one)]
        self._check_client()
        self._name_other_requests()

    # Names

    def _around(self, node: Node, kinds: Container[str]) -> Node:
        """Return the innermost node of some kinds around a node, or the program."""
        return next((one for one in node.outer() if one.kind in kinds), self._nodes[0])

    def _binding(self, mention: Node) -> Node | None:
        """Return the only code that sets a name, in the scope that a mention of it sees."""
        found = self._bindings.get(mention.name, ())
        if not 0 < len(found) <= _MAX_BINDINGS:
            return None
        scope, direct = self._seen(mention)
        return direct[0] if direct and sum(scope.has(one) for one in found) == 1 else None

    def _seen(self, mention: Node) -> tuple[Node, list[Node]]:
        """Return the innermost scope around a mention in which code sets the name, and that code."""
        found = self._bindings.get(mention.name, ())
        scopes = [one for one in mention.outer() if one.kind in self._scope_kinds and one.kind != "class"]
        for scope in (*scopes, self._nodes[0]):
            if direct := [one for one in found if self._scope_of[one.at] is scope]:
                return scope, direct
        return self._nodes[0], []

    def _is_own(self, path: str) -> bool:
        """Whether the program sets the first name of a path, by an import only if that name is a built-in one."""
        name = re.split(r"[.(]", path)[0]
        return any(
            one.kind != "import" or (name in _BUILT_IN and str(one.value).partition(".")[0] not in _PRINTING)
            for one in self._bindings.get(name, ())
        )

    def _writes_json(self, call: Node) -> bool:
        """Whether a call is of the function that writes JSON: `json` and `JSON` may be names of the program's own."""
        if self._path(call.parts[0]) not in ("json.dumps", "JSON.stringify"):
            return False
        root = call.parts[0].parts[0] if call.parts[0].parts else call.parts[0]
        return all(one.kind == "import" and str(one.value) in _JSON_MODULES for one in self._seen(root)[1])

    def _path(self, node: Node, depth: int = 0) -> str:
        """Return an expression of names as `a.b().c`, with a name that stands for a part of a client replaced."""
        names: list[str] = []
        while node.kind in ("member", "call"):
            names.append("()" if node.kind == "call" else f".{node.name}")
            node = node.parts[0]
        binding = self._binding(node) if node.kind == "name" else None
        start = node.name if node.kind == "name" else "?"
        if binding is not None and binding.kind in ("let", "var") and binding.parts[0].kind == "member" and depth < 9:
            start = self._path(binding.parts[0], depth + 1)
        return start + "".join(reversed(names))

    def _origin(self, node: Node) -> str:
        """Return a path with the imported name that it starts with replaced by that of the module."""
        path = self._path(node)
        start = re.match(r"[\w$]*", path)[0]  # type: ignore[index]
        imported = [one for one in self._bindings.get(start, ()) if one.kind == "import"]
        is_module = not imported or str(imported[0].value).startswith(f"{start}.")  # import http.client
        return path if is_module else f"{imported[0].value}{path[len(start) :]}"

    # The call

    def _first_call(self) -> Node:
        """Return the call that is imported; report the others."""
        calls = self._calls
        if not calls:
            posts = [one for one in self._nodes if one.kind == "call" and self._is_posting(one)]
            calls = [one for one in posts if not _is_other_address(one)] or posts
        if not calls:
            stored = (one for one in self._nodes if one.kind == "member" and _SDK_CALL.search(self._path(one) + "("))
            if (passed := next(stored, None)) is not None:
                _refuse(passed.line, f"{self._source(passed)[:60]} is passed on, and only direct calls are read")
            raise InputError.of((), "the snippet has no call of chat.completions.create.")
        found = [one for one in calls if self._is_reached(one)]
        if not found:
            _refuse(calls[0].line, "the call is behind the end of its function or loop")
        mentioned = {one.name for one in self._nodes if one.kind in ("name", "member")}
        found.sort(key=lambda one: not self._is_used(one, mentioned))
        if len(found) > 1:
            others, plural = _listed([one.line for one in found[1:]]), "s were" if len(found) > 2 else " was"
            left = f"{len(found) - 1} other call{plural} left out ({others})"
            self._report.note(f"The call in line {found[0].line} was imported. {left}.")
        return found[0]

    def _is_prompt(self, call: Node) -> bool:
        """Whether a call may have messages: other packages have a `messages.create`, too."""
        keys = _fields_of(call)
        return bool(keys & {"messages", "input", ""}) or not keys

    def _is_posting(self, call: Node) -> bool:
        """Whether a call without an SDK may send a prompt."""
        path, methods = self._path(call.parts[0]), [one.parts[0] for one in call.parts if one.name == "method"]
        is_request = path.endswith(_REQUESTS) and any(one.value == "POST" for one in (*methods, *call.parts[1:2]))
        is_request = is_request or (path.endswith("Request") and self._origin(call.parts[0]).startswith("urllib."))
        return is_request or path in ("axios", "axios.request") or path == "fetch" or path.endswith(".post")

    def _is_reached(self, call: Node) -> bool:
        inner = call
        for block in call.outer():
            test = block.parts[0] if block.kind == "if" else inner
            if test.kind == "const" and bool(test.value) is not (block.parts[1] is inner):
                return False
            is_hoisted = inner.kind == "function" and not self._is_python
            if block.kind == "block" and not is_hoisted and self._ends.get(block.at, inner.at) < inner.at:
                return False
            inner = block
        return True

    def _is_used(self, call: Node, mentioned: Set[str]) -> bool:
        """Whether the program mentions the functions around a call, or they have a decorator."""
        functions = (one for one in call.outer() if one.kind == "function" and one.name)
        return all(one.name in mentioned or one.name.startswith("__") or one.value == "decorated" for one in functions)

    def _is_reading(self, call: Node) -> bool:
        """Whether a call changes neither its arguments nor anything else."""
        path = self._path(call.parts[0])
        is_known = path in _READING or (path == "dict" and self._is_python)
        return (is_known and not self._is_own(path)) or call.parts[0].name in _TEXT_METHODS

    # Code that may change the request

    def _refuse_dynamic(self) -> None:
        """Refuse programs that run text, or that replace what the reader relies on."""
        for node in self._nodes:
            is_name = node.kind == "name" and node.name in _DYNAMIC_NAMES[self._is_python]
            is_escaped = "\\" in node.name and node.kind in ("name", *_BINDING)
            if is_name or is_escaped or (node.name in _DYNAMIC and node.kind in ("name", "member", *_BINDING)):
                _refuse(node.line, f"{node.name} may change any value, so the program is not imported")
            if node.kind == "import":
                module = str(node.value)
                if node.name == "*" or any(f"{module}.".startswith(f"{one}.") for one in _PATCHING):
                    _refuse(node.line, f"the import of {module} may change any value, so the program is not imported")
            elif node.name in ("modules", "cache") and self._path(node) in ("sys.modules", "require.cache"):
                _refuse(node.line, f"{self._path(node)} may change any value, so the program is not imported")
            elif node.kind == "class":
                for base in node.parts:
                    path = "" if base.kind == "block" else self._origin(base)
                    if _is_client_class(path):
                        _refuse(node.line, f"{node.name} is a subclass of {path}, which may change the request")
            elif node.kind == "set":
                self._check_set(node)

    def _check_set(self, node: Node) -> None:
        """Refuse code that sets a property of a module, of a client, or of a part of one."""
        place = node.parts[0]
        path = self._path(place)
        first = path.partition(".")[0]
        if node.name in _SETTINGS or (place.kind == "name" and place.name in ("self", "this")):
            return
        is_module = any(one.kind == "import" for one in self._bindings.get(first, ())) and first not in _OPEN_MODULES
        if is_module or first in _GLOBALS or {*re.split(r"\W+", path), node.name} & _SENDING:
            _refuse(node.line, f"{path}.{node.name} is set, which may change the request")

    def _check_client(self) -> None:
        """Refuse or name a client that may send another request."""
        node = self._call.parts[0]
        while node.kind in ("member", "call") and node.name not in ("new", *self._sets):
            is_options = node.kind == "call" and node.parts[0].name in _WITH_OPTIONS
            if node.kind == "call" and not is_options:
                break
            node = node.parts[0]
        doubt = self._doubt(node, {})
        settings = (one for one in self._nodes if one.kind in ("keyword", "set", "pair", "member"))
        found = next((one for one in settings if (one.name or _key(one)) in _TRANSPORT), None)
        doubt = doubt or (f"Line {found.line} has {found.name or _key(found)}" if found is not None else "")
        if doubt:
            self._report.note(f"{doubt}, which may change the request.")

    def _doubt(self, node: Node, seen: dict[str, None], depth: int = 0) -> str:
        """Return why an expression may not be a client of a known package."""
        if node.kind == "const" or depth > 9:
            return ""
        if node.kind == "call":
            maker = node.parts[0]
            if maker.name in _WITH_OPTIONS:
                return self._doubt(maker.parts[0], seen, depth + 1)
            path, name = self._origin(maker), re.split(r"[.(]", self._path(maker))[0]
            is_known = _CLIENTS.match(path) or (path.startswith("?") and path != "?")
            if is_known or (path.split(".")[-1] in _MAKERS and name not in self._bindings):
                return ""
            if any(one.kind == "class" for one in self._bindings.get(name, ())):
                _refuse(node.line, f"the client is made by the class {name} of the program")
            return f"The client is made by {path[:60]} in line {node.line}"
        if node.kind == "name" and node.name in ("self", "this"):
            return ""
        if node.kind == "member" and node.parts[0].kind == "name":
            return self._doubt_of(f".{node.name}", self._sets.get(node.name, ()), seen, depth)
        if node.kind == "name":
            return self._doubt_of(node.name, self._bindings.get(node.name, ()), seen, depth)
        return next(filter(None, (self._doubt(one, seen, depth + 1) for one in node.parts)), "")

    def _doubt_of(self, name: str, found: Sequence[Node], seen: dict[str, None], depth: int) -> str:
        if name in seen:
            return ""
        seen[name] = None
        for one in found[:_MAX_BINDINGS]:
            if one.kind in ("function", "class"):
                _refuse(one.line, f"the client {name} is code of the program")
            module = str(one.value) if one.kind == "import" else ""
            if module and not _CLIENTS.match(module):
                return f"The client is imported in line {one.line}"
            values = one.parts[:1] if one.kind in ("let", "var") else one.parts[-1:] if one.kind == "set" else ()
            for value in values if one.kind != "bind" else self._passed_for(one):
                if doubt := self._doubt(value, seen, depth + 1):
                    return doubt
        return next(filter(None, (self._passed(one, seen) for one in self._mentions.get(name, ()))), "")

    def _passed_for(self, parameter: Node) -> Iterator[Node]:
        """Yield what the calls of a function, by its name or that of its class, pass for a parameter."""
        function, place = self._around(parameter, ["function"]), parameter
        while place.parent is not None and place.parent.parent is not function:
            place = place.parent
        if place.parent is None or place.parent.kind == "block":
            return
        is_method = function.name == "__init__"
        outer = self._around(function, ["class"]) if is_method else function if function.name else function.parent
        at = place.parent.parts.index(place) + (not is_method)
        for mention in self._mentions.get(outer.name, ()) if outer is not None else ():
            call = mention.parent
            if call is not None and call.kind == "call" and call.parts[0] is mention:
                named = [one.parts[0] for one in call.parts if one.kind == "keyword" and one.name == parameter.name]
                yield from named or [one for one in call.parts[at : at + 1] if one.kind != "keyword"]

    def _passed(self, mention: Node, seen: dict[str, None]) -> str:
        """Return where a client, or a part of one, is passed to code that may change it."""
        top = mention
        while top.parent is not None and (top.parent.kind in _NESTING or top.parent.name in _API):
            top = top.parent
        outer, is_part = top.parent, top.kind == "member"
        if outer is None or (outer.kind == "member" and outer.parts[0] is top) or outer in self._calls:
            return ""
        if outer.kind in ("let", "var") and outer.name not in seen:
            seen[outer.name] = None
            return next(filter(None, (self._passed(one, seen) for one in self._mentions.get(outer.name, ()))), "")
        if outer.kind == "set" and outer.parts[0] is top and outer.name not in _SETTINGS:
            _refuse(mention.line, "a property of the client is set, which may change the request")
        if outer.kind != "call":
            is_kept = outer.kind == "set" or (not is_part and outer.kind in ("end", "if", "expression"))
            return "" if is_kept else f"The client is passed on in line {mention.line}"
        if is_part and outer.parts[0] is not top:
            _refuse(mention.line, "a part of the client is passed on, which may change the request")
        is_own = outer.parts[0] is top or self._is_own(self._path(outer.parts[0]))
        return "" if is_own else f"The client is passed on in line {mention.line}"

    def _name_other_requests(self) -> None:
        """Name the lines of other calls of the network, and of a client's methods that are passed on or stored."""
        called = {one.parts[0].at for one in (*self._calls, self._call)}
        modules = [*self._mentions, *(str(one.value) for one in self._nodes if one.kind == "import")]
        self._has_network = any(f"{one}.".startswith(_NETWORK) for one in modules)
        found = sorted({one.line for one in self._nodes if one.at not in called and self._is_other_request(one)})
        if found:
            self._report.note(f"Code in {_listed(found)} may send another request, which is not imported.")

    def _is_other_request(self, node: Node) -> bool:
        if node.kind in ("member", "name"):
            path, outer = self._path(node), node.parent
            is_alias = outer is not None and outer.kind in ("let", "var")
            is_sdk = _SDK_CALL.search(path + "(") or path.endswith(".completions.create")
            if node.name in _STREAMED or (is_sdk and not is_alias):
                return True
            is_object = outer is not None and outer.kind == "member" and outer.name not in ("bind", "call", "apply")
            is_method = (self._has_network and node.kind == "member") or self._origin(node).startswith(_NETWORK)
            is_sent = node.name == "urlopen" and self._path(self._call.parts[0]).endswith("Request")
            is_function = node.name == "fetch" or (node.name == "axios" and node.kind == "name")
            return not is_object and (is_function or (node.name in _METHODS and is_method and not is_sent))
        if node.kind != "call" or node in (*self._calls, self._call) or self._is_reading(node):
            return False
        is_own = any(one.kind == "function" for one in self._bindings.get(self._path(node.parts[0]), ()))
        is_prompt = not is_own and {"model", "messages"} <= _fields_of(node)
        given = [part for one in node.parts[1:] if one.kind in _ADDRESSES for part in (one, *one.parts)]
        is_address = any("/chat/completions" in str(one.value) for one in given if one.kind == "const")
        return is_prompt or (is_address and not self._call.has(node) and node.parts[0].name not in _SAYING)

    # Values

    def fields(self) -> dict[str, object]:
        """Return the arguments of the call by name."""
        if self._is_post:
            return self._posted()
        given = self._call.parts[1:]
        if self._is_python and any(one.kind not in ("keyword", "spread") for one in given):
            raise SyntaxError("an object of JavaScript")
        if not self._is_python and any(one.kind == "other" and "bind" in _kinds(one) for one in given):
            _refuse(self._call.line, "the call is neither Python nor JavaScript", "Copy the call whole.")
        if not self._is_python and len(given) > 1:
            self._report.left_out("options", "it is not part of the body")
        found: dict[str, object] = {"stream": True} if self._call.parts[0].name == "stream" else {}
        for one in given if self._is_python else given[:1]:
            found |= self._pairs(one, 0)
        for name in ("extra_headers", "extra_query", "timeout"):
            if found.pop(name, self) is not self:
                self._report.left_out(name, "it is not part of the body")
        options = found.pop("request_options", None)
        if options is not None:
            self._report.left_out("request_options, apart from additional_body_parameters,")
            more = options.get("additional_body_parameters") if isinstance(options, dict) else None
            found |= more if isinstance(more, dict) else {}
        if isinstance(extra := found.get("extra_body"), dict):
            del found["extra_body"]
            found |= extra
        return found

    def _pairs(self, node: Node, depth: int) -> dict[str, object]:
        """Return the members of an object, or the fields that an argument gives."""
        if node.kind == "keyword":
            return {node.name: self._value(node.parts[0], depth)}
        if node.kind == "pair":
            key = self._value(node.parts[0], depth)
            if isinstance(key, str) and not isinstance(key, Open):
                return {key: self._value(node.parts[1], depth)}
        elif node.kind == "dict":
            found: dict[str, object] = {}
            for one in node.parts:
                more = self._pairs(one, depth + 1)
                for name in found.keys() & more.keys():
                    del found[name]  # the order is that of the last ones
                found |= more
            return found
        elif node.kind == "spread" or depth == 0:
            value = self._value(node.parts[0] if node.kind == "spread" else node, depth)
            if isinstance(value, dict):
                return value
            return {self._source(node): self._gap(node, value)}
        return {self._source(node): self._gap(node)}

    def _given(self, path: str) -> tuple[dict[str, Node], list[Node]]:
        """Return the named arguments of a request without an SDK, or its options, and the other arguments.

        Raises SyntaxError for a call of JavaScript in what was read as Python: the caller reads it as JavaScript then.
        """
        given = {one.name: one.parts[0] for one in self._call.parts[1:] if one.kind == "keyword"}
        rest = [one for one in self._call.parts[1:] if one.kind != "keyword"]
        is_known = re.split(r"[.(]", path)[0] in self._bindings
        if self._is_python and (path == "fetch" or (len(rest) > 1 and not given and not is_known)):
            raise SyntaxError("a function of JavaScript")
        if not self._is_python and rest and (path == "fetch" or path in ("axios", "axios.request")):
            options = self._literal(rest.pop())
            given = {_key(one): one.parts[1] for one in options.parts} if {*_kinds(options)} == {"pair"} else {}
        return given, rest[1:] if path.endswith(_REQUESTS) and "method" not in given else rest

    def _posted(self) -> dict[str, object]:
        """Return the JSON that a request without an SDK sends. Raises InputError if it is not known."""
        line, path = self._call.line, self._path(self._call.parts[0])
        if path == "fetch" and self._is_own(path):
            _refuse(line, "fetch is a function of the program")
        given, rest = self._given(path)
        url = self._value(rest.pop(0) if rest else given.get("url", self._call), 0)
        if not isinstance(url, str) or not url.endswith("/chat/completions"):
            is_open = next(self._values.opened(url), None) is not None
            why = "is not known" if is_open else "does not end with /chat/completions"
            _refuse(line, f"the address of the request {why}")
        is_connection = any(one.kind == "import" and one.value == "http.client" for one in self._nodes)
        if self._is_python and path.endswith(".post"):
            given = dict(zip(("data", "json"), rest, strict=False)) | given
        elif rest and (is_connection or not path.endswith(_REQUESTS)):
            given.setdefault("data", rest[0])
        names = ("json", "data", "content", "files") if self._is_python else ("body",) if path == "fetch" else ("data",)
        bodies = [name for name in names if name in given and not _is_none(given[name])]
        if len(bodies) > 1:
            _refuse(line, "the request has two bodies", "Paste the JSON.")
        body = self._literal(given[bodies[0]]) if bodies else None
        is_json = bodies == ["json"] or (not self._is_python and path != "fetch")
        if body is not None and body.kind == "call" and body.parts[0].name == "encode" and body.parts[0].parts:
            is_utf8 = all(str(one.value).lower() in ("utf-8", "utf8") for one in body.parts[1:])
            body = self._literal(body.parts[0].parts[0]) if is_utf8 else None
        if body is not None and body.kind == "call" and self._writes_json(body):
            body, is_json = (body.parts[1] if len(body.parts) > 1 and _is_plain(body.parts[2:]) else None), True
        value = self._value(body, 0) if body is not None else None
        if isinstance(value, str) and not isinstance(value, Open) and bodies != ["json"]:
            with suppress(ValueError):
                value, is_json = loads(value), True
        if not isinstance(value, dict) or not is_json:
            is_form = isinstance(value, dict)
            why = "the body is not sent as JSON" if is_form else "the JSON of the request is not in the program"
            reason = getattr(value, "reason", f"line {line}")
            _refuse(line, why if reason == f"line {line}" else f"{why} ({reason})", "Paste the JSON.")
        return value

    def _literal(self, node: Node) -> Node:
        """Return what a name is set to, if that is not changed."""
        binding = self._binding(node) if node.kind == "name" else None
        is_value = binding is not None and (
            binding.kind == "let" or (binding.kind == "var" and self._is_before(binding))
        )
        return binding.parts[0] if binding is not None and is_value and not any(self._changed(binding)) else node

    def _gap(self, node: Node, value: object = None) -> Gap:
        why = getattr(value, "reason", "") or f"line {node.line}"
        return Gap(self._source(node)[:60], f"its value is not in the program ({why})")

    def _source(self, node: Node) -> str:
        if node.kind == "spread" and node.source is None:
            return f"**{self._source(node.parts[0])}"
        while node.source is None and node.parent is not None:
            node = node.parent
        return " ".join(self._text(node.source).split())

    def _open(self, node: Node, reason: str = "", key: Hashable = None) -> Open:
        return self._values.open(self._source(node), reason or f"line {node.line}", key=key)

    def _value(self, node: Node, depth: int) -> object:
        """Return a value: known, or open."""
        self._values.spend(node.line, 1, depth)
        match node.kind:
            case "const" if not isinstance(node.value, int | float) or -(2**63) <= node.value < 2**64:
                return node.value
            case "template":
                return self._joined(node, node.parts, depth)
            case "sum":
                return self._sum(node, depth)
            case "list":
                return self._items(node.parts, depth)
            case "dict":
                return self._pairs(node, depth + 1)
            case "name":
                return self._named(node, depth)
            case "member" | "index":
                return self._member(node, depth)
            case "call":
                return self._called(node, depth)
        return self._open(node)

    def _items(self, parts: Sequence[Node], depth: int) -> list[object]:
        found: list[object] = []
        for one in parts:
            value = self._value(one.parts[0] if one.kind == "spread" else one, depth + 1)
            if one.kind == "spread":
                found += value if isinstance(value, list) else [self._gap(one, value)]
            else:
                found.append(value)
        return found

    def _joined(self, node: Node, parts: Sequence[Node], depth: int) -> str:
        text = ""
        for one in parts:
            value = self._value(one, depth + 1)
            if isinstance(value, bool) or not isinstance(value, str | int):
                value = self._open(one)
            text += str(value)
            self._values.spend(node.line, len(str(value)) // 8)
            if len(text) > MAX_CHARS:
                _refuse(node.line, f"a text has more than {MAX_CHARS:,} characters")
        return text

    def _sum(self, node: Node, depth: int) -> object:
        found = [self._value(one, depth + 1) for one in node.parts]
        texts = [isinstance(one, str) and not isinstance(one, Open) for one in found]
        if any(texts if self._is_python else texts[:2]) and all(isinstance(one, str) for one in found):
            self._values.spend(node.line, sum(len(str(one)) for one in found) // 8)
            return "".join(map(str, found))
        if self._is_python and any(isinstance(one, list) for one in found):
            items: list[object] = []
            for one, value in zip(node.parts, found, strict=True):
                items += value if isinstance(value, list) else [self._gap(one, value)]
            return items
        return self._open(node)

    def _called(self, node: Node, depth: int) -> object:
        function, given = node.parts[0], node.parts[1:]
        path = self._origin(function)
        is_dict = path == "dict" and self._is_python and path not in self._bindings
        if is_dict and all(one.kind == "keyword" for one in given):
            return {one.name: self._value(one.parts[0], depth + 1) for one in given}
        text: object = None
        strips = ("strip", "lstrip", "rstrip") if self._is_python else ("trim",)
        is_own = self._is_own(self._path(function))
        if path in ("textwrap.dedent", "inspect.cleandoc") and len(given) == 1 and not is_own:
            text = self._value(given[0], depth + 1)
        elif function.kind == "member" and function.name in strips and not given:
            text = self._value(function.parts[0], depth + 1)
        if not isinstance(text, str) or next(self._values.opened(text), None) is not None:
            return self._open(node)
        if function.name == "trim":
            return text.strip(_SPACES)
        if path.endswith("dedent"):
            return textwrap.dedent(text)
        return inspect.cleandoc(text) if path.endswith("cleandoc") else str(getattr(text, function.name)())

    def _member(self, node: Node, depth: int) -> object:
        """Return a member of a known object: `CONFIG["temperature"]`."""
        holder = self._value(node.parts[0], depth + 1) if node.parts[0].kind in ("name", "member", "index") else None
        key = node.name or getattr(node.parts[-1], "value", None)
        is_place = isinstance(key, str) and (node.kind == "index" or not self._is_python)
        is_known = (
            isinstance(holder, dict) and key in holder and not any(isinstance(one, Gap) for one in holder.values())
        )
        return holder[key] if is_place and is_known else self._open(node)  # type: ignore[index]

    def _named(self, node: Node, depth: int) -> object:
        binding = self._binding(node)
        is_value = binding is not None and binding.kind in ("let", "var")
        if not is_value or binding is None or (self._is_python and hasattr(builtins, node.name)):
            lines = sorted({one.line for one in self._bindings.get(node.name, ())})[:4]
            where = f"line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}" if lines else ""
            return self._open(node, where, self._key(node, binding))
        if binding.kind == "var" and not self._is_before(binding):
            return self._open(node)
        if binding.at in self._known:
            return self._known[binding.at]
        self._values.spend(node.line, 20)
        value = self._value(binding.parts[0], depth + 1)
        if isinstance(value, Open):
            return self._open(node, value.reason, self._key(node, binding))
        if not isinstance(value, list | dict):
            if next(self._values.opened(value), None) is None:
                self._known[binding.at] = value
            return value
        reason, grown = self._changed(binding)
        if grown and not self._call.has(node) and any(node.at < one.at < self._call.at for one in grown):
            reason = reason or f"line {grown[-1].line} adds to it"
        if reason or (grown and not isinstance(value, list)):
            return self._open(node, reason or f"line {grown[0].line} changes it")
        return self._grown(binding, [*value], grown, depth) if isinstance(value, list) else value

    def _is_before(self, binding: Node) -> bool:
        """Whether a declaration with `var` runs before the call, in its function."""
        block = binding.parent.parent if binding.parent is not None else None
        is_around = block is not None and block.kind == "block" and block.has(self._call)
        return (
            is_around
            and binding.at < self._call.at
            and self._around(binding, ["function"]) is self._around(self._call, ["function"])
        )

    def _key(self, node: Node, binding: Node | None) -> Hashable:
        """Return what is the same for two uses of a name with the same value; None if that is not certain."""
        if node.name not in self._bindings and node.name not in ("self", "this"):
            return node.name
        if binding is None or any(self._changed(binding)):
            return None
        run = self._around(binding, _RUNS)
        is_later = run.kind == "loop" and any(one.kind == "function" and one.at > run.at for one in self._call.outer())
        # Calls in between may change it, and objects of JavaScript may become another text in a sum.
        how = bisect(self._acting, node.at), node.parent is not None and node.parent.kind == "sum"
        if self._call.has(node):
            return (binding.at, is_later, how)
        block = self._around(node, ["block"])
        return (binding.at, False, how) if block.has(self._call) and run.has(block) and not is_later else None

    # Lists and objects

    def _changed(self, binding: Node) -> tuple[str, list[Node]]:
        """Return the code that may change the value of a name, and the calls that add to its list."""
        if binding.at in self._changes:
            return self._changes[binding.at]
        self._changes[binding.at] = f"line {binding.line} may have itself in it", []
        reason, grown = "", []
        scope, run = self._scope_of[binding.at], self._around(binding, _RUNS)
        is_repeated = not run.has(self._call) or any(
            one.kind in _RUNS and one.at > run.at for one in self._call.outer()
        )
        for one in self._mentions.get(binding.name, ()):
            if not scope.has(one):
                continue
            flow, what = self._flow(one)
            is_after = one.at > self._call.last and self._is_sent and not is_repeated
            is_after = is_after and self._around(one, ["function"]) is self._around(binding, ["function"])
            if flow == "grow" and not is_after:
                grown.append(what)
            elif flow in ("read", "grow") or is_after:
                continue
            elif flow in ("held", "same"):
                reason, more = self._changed(what)
                reason = reason or (f"line {more[0].line} adds to it" if more and flow == "same" else "")
            else:
                reason = f"line {one.line} passes {one.name} on or changes it"
            if reason:
                break
        self._changes[binding.at] = reason, grown
        return reason, grown

    def _flow(self, mention: Node) -> tuple[str, Node]:  # noqa: C901 - one case per kind of code
        """Return what the code around a mention does to the value: read, grow, same (another name), held (a member of
        the value of another name), or other."""
        node, is_held = mention, False
        while (outer := node.parent) is not None:
            is_method = outer.parent is not None and outer.parent.kind == "call" and outer.parent.parts[0] is outer
            if outer.kind in ("member", "index") and outer.parts[0] is node and not is_method and not is_held:
                if outer.name == "length":
                    return "read", outer
            elif outer.kind in _NESTING:
                is_held = True
            else:
                break
            node = outer
        if outer is None or outer.parent is None:
            return "other", mention
        if outer.kind == "call" and outer.parts[0] is not node:
            path = self._path(outer.parts[0])
            known = path in _READING and not self._is_own(path)
            if path in ("json.dumps", "JSON.stringify"):
                is_plain = _is_plain([one for one in outer.parts[1:] if not one.has(mention)])
                known = is_plain and self._writes_json(outer)
            return ("read" if known or outer in self._calls or outer is self._call else "other"), outer
        if outer.kind == "member" and node is mention:  # a method
            call = outer.parent
            is_plain = all(one.kind not in ("spread", "keyword") for one in call.parts[1:])
            grows = outer.name in (("append", "extend") if self._is_python else ("push",))
            if grows and is_plain and call.parent is not None:
                return ("grow" if call.parent.kind == "expression" else "other"), call
            return ("read" if outer.name in _TEXT_METHODS else "other"), call
        if outer.kind in ("template", "expression") or (outer.kind == "if" and outer.parts[0] is node):
            return "read", outer
        if outer.kind in ("let", "var") and outer.parts[0] is node:
            scope = self._scope_of[outer.at]
            if scope.kind != "class" and sum(scope.has(one) for one in self._bindings[outer.name][:_MAX_BINDINGS]) == 1:
                return ("held" if is_held else "same"), outer
        return "other", outer

    def _grown(self, binding: Node, items: list[object], grown: Sequence[Node], depth: int) -> list[object]:
        """Return a list with what is added to it before the call."""
        call, run = self._call, self._around(binding, _RUNS)
        for one in grown:
            block = self._around(one, ["block"])
            is_direct = one.parent is not None and one.parent.parent is block
            around = [outer for outer in one.outer() if outer.kind in _RUNS and outer.at > run.at]
            if is_direct and block.has(call) and one.at < call.at and self._is_certain(binding, one):
                added = self._items(one.parts[1:], depth)
                whole = added[0] if one.parts[0].name == "extend" and added else added
                items += whole if isinstance(whole, list) else [self._gap(one, whole)]
                if around:
                    self._report.left_out(f"What line {one.line} adds to {binding.name} in later turns")
            else:
                items.append(Gap(f"What line {one.line} adds to {binding.name}"))
        return items

    def _is_certain(self, binding: Node, grow: Node) -> bool:
        """Whether no function with the call can run before it adds to the list: JavaScript calls later functions."""
        inner = (one for one in self._call.outer() if one.kind == "function" and not one.has(grow))
        between = (one for one in self._nodes[binding.last + 1 : grow.at] if one.kind == "call")
        is_hoisted = not self._is_python and any(one.at > binding.at for one in inner)
        return not is_hoisted or all(one.parts[0].name == "push" for one in between)


def _fields_of(call: Node) -> set[str]:
    """Return the names of the arguments of a call and of the members of its objects; "" for another argument."""
    given = [part for one in call.parts[1:] for part in (one.parts if one.kind == "dict" else (one,))]
    return {_key(one) if one.kind == "pair" else one.name if one.kind == "keyword" else "" for one in given}


def _listed(lines: Sequence[int]) -> str:
    some = ", ".join(map(str, lines[:5])) + (" …" if len(lines) > 5 else "")
    return f"line{'s' if len(lines) > 1 else ''} {some}"


def _is_plain(options: Sequence[Node]) -> bool:
    """Whether the options of a function are literals, and no functions."""
    return all(one.kind == "const" or (one.kind != "list" and _kinds(one) == ["const"]) for one in options)


def _kinds(node: Node) -> list[str]:
    return [part.kind for part in node.parts]


def _is_none(node: Node) -> bool:
    return node.kind == "const" and node.value is None


def _is_other_address(call: Node) -> bool:
    url = call.parts[1] if len(call.parts) > 1 else call
    return url.kind == "const" and not str(url.value).endswith("/chat/completions")


def _is_client_class(path: str) -> bool:
    if re.search(r"(Error|Exception|BaseModel)$", path):
        return False
    is_transport = re.search(r"(Session|Client|Auth|AuthBase|Adapter|Transport|Completions)$", path)
    return is_transport is not None or _SDKS.match(path) is not None or re.sub(r".*\.", "", path) in _MAKERS


def _key(pair: Node) -> str:
    return str(pair.parts[0].value) if pair.kind == "pair" else ""
