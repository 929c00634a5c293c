"""SDK calls in programs: what is imported equals what the program sends, or is named as open or left out."""

from __future__ import annotations

import re

import pytest

from playground.prompt.field_errors import InputError
from playground.prompt.import_formats import import_kind, open_any

S = '{"role": "system", "content": "S"}'
U = '{"role": "user", "content": "U"}'
Q = '{"role": "user", "content": q}'
SEND = 'c.chat.completions.create(model="electron", messages=m)'
JS_SEND = 'await c.chat.completions.create({model: "electron", messages: m});'


def lines_in(text: str) -> list[int]:
    """Return the lines of the program that a report or an error names."""
    groups = re.findall(r"[Ll]ines? ([\d, ]+)", text)
    return sorted({int(line) for group in groups for line in re.findall(r"\d+", group)})


def imported(code: str) -> tuple[list[str | None], list[int]]:
    opened = open_any(code)
    return [message.content for message in opened.document.messages], lines_in(" ".join(opened.notes))


# The code, the texts of the messages, and the lines that the report names.
PYTHON: dict[str, tuple[str, list[str | None], list[int]]] = {
    "append": (f"m = [{S}]\nm.append({U})\n{SEND}", ["S", "U"], []),
    "extend": (f"m = [{S}]\nm.extend([{U}, *more])\nm += [{U}]\nm.extend(rest)\n{SEND}", ["S", "U", "U"], [3, 5]),
    "added in a branch": (f"m = [{S}]\nif x:\n    m += [{U}]\n{SEND}", ["S"], [4]),
    "added text": (f't = "S"\nt += "U"\nm = [{{"role": "user", "content": t}}]\n{SEND}', ["{{t}}"], [2, 3]),
    "spread": (f"h = [{S}]\nm = [*h, {U}]\n{SEND}", ["S", "U"], []),
    "unknown spread": (f"m = [{S}, *history(), {U}]\n{SEND}", ["S", "U"], [2]),
    "unknown list added": (f"m = [{S}] + history + [{U}]\n{SEND}", ["S", "U"], [2]),
    "dict call": (f'm = [dict(role="user", content="U")]\n{SEND}', ["U"], []),
    "set again": (f'q = "old"\nq = "new"\nm = [{Q}]\n{SEND}\nq = "later"', ["{{q}}"], [2, 3, 6]),
    "set in a branch": (f'q = "A"\nif x:\n    q = "B"\nm = [{Q}]\n{SEND}', ["{{q}}"], [2, 4]),
    "call in the branch": (f'q = "A"\nif x:\n    q = "B"\n    m = [{Q}]\n    {SEND}', ["{{q}}"], [2, 4]),
    "appended in a branch": (f"m = [{S}]\nif x:\n    m.append({U})\n{SEND}", ["S"], [4]),
    "appended in a loop": (f"m = [{S}]\nfor q in qs:\n    m.append({Q})\n{SEND}", ["S"], [4]),
    "call in a loop": (f"m = [{S}]\nfor q in qs:\n    m.append({Q})\n    {SEND}", ["S", "{{q}}"], [3, 4]),
    "local before global": (
        f'q = "global"\ndef ask():\n    q = "local"\n    m = [{Q}]\n    {SEND}\ndef other():\n    q = "other"',
        ["local"],
        [],
    ),
    "parameter before global": (f'q = "global"\ndef ask(q):\n    m = [{Q}]\n    {SEND}', ["{{q}}"], [2, 3]),
    "lambda parameter": (f'q = "global"\nf = lambda q: c.chat.completions.create(messages=[{Q}])', ["{{q}}"], [2, 3]),
    "comprehension variable": (f'q = "g"\n[c.chat.completions.create(messages=[{Q}]) for q in x]', ["{{q}}"], [2, 3]),
    "class attribute": (
        f'class A:\n    q = "S"\n    def ask(self):\n        m = [{Q}]\n        {SEND}',
        ["{{q}}"],
        [3],
    ),
    "constant behind the function": (f'def ask():\n    m = [{Q}]\n    {SEND}\nq = "late"', ["late"], []),
    "global set twice": (f'q = "A"\ndef ask():\n    m = [{Q}]\n    {SEND}\nq = "B"', ["{{q}}"], [2, 6]),
    "global set by a function": (
        f'q = "A"\ndef f():\n    global q\n    q = "B"\nf()\nm = [{Q}]\n{SEND}',
        ["{{q}}"],
        [2, 4, 5],
    ),
    "appended by a function": (f"m = [{S}]\ndef f():\n    m.append({U})\nf()\n{SEND}", ["S"], [4]),
    "history of a function": (
        f"m = [{S}]\ndef ask(q):\n    m.append({Q})\n    r = {SEND}\n    m.append(r.message)",
        ["S", "{{q}}"],
        [3, 4, 6],
    ),
    "two inputs": (f"q = input()\nm = [{Q}]\nq = input()\nm.append({Q})\n{SEND}", ["{{q}}", "{{q_2}}"], [2, 4]),
    "imported name": (f"from x import q\nm = [{Q}]\n{SEND}", ["{{q}}"], [2]),
    "format": (f'm = [{{"role": "user", "content": "{{}} %s".format(1) % q}}]\n{SEND}', ["{{s_format_1_q}}"], [2]),
    "dedent": (f'm = [{{"role": "user", "content": textwrap.dedent("  a\\n   b")}}]\n{SEND}', ["a\n b"], []),
    "unknown message": (f"m = [{U}]\nm.append(r.choices[0].message)\n{SEND}", ["U"], [3]),
    "variable with a digit": (f'm = [{{"role": "user", "content": f"{{1 << 2}}"}}]\n{SEND}', ["{{value_1_2}}"], [2]),
    "variable beside a written one": (
        f'm = [{{"role": "user", "content": "{{{{q}}}}" + q}}]\n{SEND}',
        ["{{q}}{{q_2}}"],
        [2],
    ),
    "call in a comment": (f'# c.chat.completions.create(messages=[])\n"""{JS_SEND}"""\nm = [{U}]\n{SEND}', ["U"], []),
    "two calls": (f"m = [{U}]\n{SEND}\n{SEND}", ["U"], [3, 4]),
    "own function with the name of a builtin": (
        f'def str(x):\n    return "T"\nq = str("U")\nm = [{Q}]\n{SEND}',
        ["{{q}}"],
        [4],
    ),
    "imported function with a known name": (
        f'from x import dedent\nq = dedent("U")\nm = [{Q}]\n{SEND}',
        ["{{q}}"],
        [3],
    ),
    "first version of the package": (f"openai.ChatCompletion.create(messages=[{U}])", ["U"], []),
    "keywords and more": (f'k = {{"messages": [{U}], **more}}\nc.chat.completions.create(**k)', ["U"], [2]),
    "two calls of a function": (
        'm = [{"role": "user", "content": f"{input()} {input()} {x.y} {x.y}"}]\n' + SEND,
        ["{{input}} {{input_2}} {{x_y}} {{x_y_2}}"],
        [2],
    ),
    "set again on the line": (
        f"q = input(); a = q; q = input()\nm = [{Q}, {Q.replace('q}', 'a}')}]\n{SEND}",
        ["{{q}}", "{{a}}"],
        [2],
    ),
    "one unknown value twice": (f"q = input()\nm = [{Q}, {Q}]\n{SEND}", ["{{q}}", "{{q}}"], [2]),
    "changed between two uses": (
        f'd = load()\nt = f"{{d}}"\nd["k"] = 1\nm = [{{"role": "user", "content": f"{{t}} {{d}}"}}]\n{SEND}',
        ["{{d}} {{d_2}}"],
        [2],
    ),
    "set by a function between two uses": (
        "def f():\n    global n\n    n += 1\nn = g()\n"
        f'm = [{{"role": "user", "content": f"{{n}} {{f()}} {{n}}"}}]\n{SEND}',
        ["{{n}} {{f}} {{n_2}}"],
        [3, 4, 5, 6],
    ),
    "call that is not reached": (
        f"def f():\n    return\n    c.chat.completions.create(messages=[{S}])\nif 0:\n"
        f"    c.chat.completions.create(messages=[{S}])\ndef g():\n    c.chat.completions.create(messages=[{S}])\n"
        f"m = [{U}]\n{SEND}",
        ["U"],
        [8, 10],
    ),
    "other name of the completions": (
        f"cc = c.chat.completions\ncc.create(messages=[{S}])\nm = [{U}]\n{SEND}",
        ["S"],
        [3, 5],
    ),
    "client of another package": (f"from mylib import OpenAI\nc = OpenAI()\nm = [{U}]\n{SEND}", ["U"], [3]),
    "client that is wrapped": (f"c = openai.OpenAI()\nwrap(c)\nm = [{U}]\n{SEND}", ["U"], [3]),
    "JSON of a known value": (
        f'd = {{"a": [1, None]}}\nm = [{{"role": "user", "content": json.dumps(d)}}]\n{SEND}',
        ["{{json_dumps_d}}"],
        [3],
    ),
    "text in the form of a variable": (
        f'm = [{{"role": "user", "content": "{{{{name}}}}"}}]\n{SEND}',
        ["{{name}}"],
        [],
    ),
    "either client": (f"c = openai.OpenAI() if x else openai.AzureOpenAI()\nm = [{U}]\n{SEND}", ["U"], [2]),
    "other names of other names": (
        f"ch: Chat = c.chat\ncc = ch.completions\ncc.create(messages=[{S}])\nm = [{U}]\n{SEND}",
        ["S"],
        [4, 6],
    ),
    "other name that is not followed": (
        f"x, cc = 1, c.chat.completions\ncc.create(messages=[{S}])\nm = [{U}]\n{SEND}",
        ["U"],
        [2],
    ),
    "changed by a function between two uses": (
        'def f(x):\n    return x.next()\ndef g(d):\n    t = f"{d} {f(d)} {d}"\n'
        f'    m = [{{"role": "user", "content": t}}]\n    {SEND}',
        ["{{d}} {{f_d}} {{d_2}}"],
        [4, 5],
    ),
    "last of two branches": (f'if x:\n    q = "A"\nelse:\n    q = "B"\nm = [{Q}]\n{SEND}', ["{{q}}"], [3, 5]),
    "name of a class": (f'q = "A"\nclass K:\n    q = "B"\nm = [{Q}]\n{SEND}', ["{{q}}"], [2, 4]),
    "name of a builtin": (
        f'def f():\n    m = [{Q.replace("q}", "input}")}]\n    {SEND}\nf()\ninput = "A"',
        ["{{input}}"],
        [6],
    ),
    "own class with the name of a module": (
        f'class textwrap:\n    dedent = f\nq = textwrap.dedent(" a")\nm = [{Q}]\n{SEND}',
        ["{{q}}"],
        [4],
    ),
    "changed by a call in between": (
        f'def f(t):\n    u = f"{{t}}"\n    g()\n    m = [{{"role": "user", "content": f"{{u}} {{t}}"}}]\n    {SEND}',
        ["{{t}} {{t_2}}"],
        [2],
    ),
    "value of another turn": (
        'for q in qs:\n    if x:\n        a = f"{q}"\n    m = [{"role": "user", "content": f"{a} {q}"}]\n    ' + SEND,
        ["{{q}} {{q_2}}"],
        [2],
    ),
    "member of a known object": (
        f'd = {{"a": "A", "b": q}}\nm = [{{"role": "user", "content": d["a"] + d["b"]}}]\n{SEND}',
        ["A{{q}}"],
        [2],
    ),
    "appended before a copy": (f"b = [{S}]\nb.append({U})\nm = [*b]\n{SEND}", ["S", "U"], []),
    "with options": (f"c = openai.OpenAI().with_options(timeout=1)\nm = [{U}]\n{SEND}", ["U"], []),
    "client that a function is given": (
        f"def f(k, c):\n    m = [{U}]\n    {SEND}\nf(1, openai.OpenAI())\nf(1, c=None)\nf(1, wrap())",
        ["U"],
        [7],
    ),
    "client that an object is given": (
        f"class A:\n    def __init__(self, k):\n        self.k = k\n    def f(self):\n        m = [{U}]\n"
        f"        self.k.{SEND[2:]}\nA(openai.OpenAI()).f()\nA(k=wrap()).f()",
        ["U"],
        [9],
    ),
    "client of a package with a similar name": (f"from openai_utils import c\nm = [{U}]\n{SEND}", ["U"], [2]),
    "own transport": (f"c = openai.OpenAI(http_client=h)\nm = [{U}]\n{SEND}", ["U"], [2]),
}


@pytest.mark.parametrize("case", PYTHON)
def test_open_any_python_program_gives_what_it_sends_or_names_the_rest(case: str) -> None:
    code, contents, lines = PYTHON[case]
    assert imported(f"import openai\n{code}\n") == (contents, lines)


REFUSED_PYTHON: dict[str, tuple[str, int]] = {
    "item set, insert": (f'm = [{U}]\nm[0]["content"] = "T"\nm.insert(0, {S})\n{SEND}', 3),
    "keywords in a dict": (f"k = dict(messages=[{S}])\nk['messages'] = [{U}]\nc.chat.completions.create(**k)", 3),
    "message updated by another name": (f'm = [{S}, {U}]\nd = m[0]\nd |= {{"content": "T"}}\n{SEND}', 3),
    "client of a subclass": (f"class My(openai.OpenAI):\n    pass\nc = My()\nm = [{U}]\n{SEND}", 2),
    "client that a function changes": (
        f"def wrap(x):\n    x.chat.completions.create = f\nc = openai.OpenAI()\nwrap(c)\nm = [{U}]\n{SEND}",
        3,
    ),
    "create that is replaced": (f"c = openai.OpenAI()\nc.chat.completions.create = f\nm = [{U}]\n{SEND}", 3),
    "all names of a module": (f"from x import *\nm = [{U}]\n{SEND}", 2),
    "mock": (f"from unittest.mock import patch\nm = [{U}]\n{SEND}", 2),
    "package whose call is replaced": (
        f"openai.chat.completions.create = f\nopenai.chat.completions.create(messages=[{U}])",
        2,
    ),
    "own exit": (f"def exit():\n    pass\nexit()\nm = [{U}]\n{SEND}", 6),
    "function that returns messages": (
        f'def build(q, r="R"):\n    """Docs."""\n    return [{S}, {Q}, {Q.replace("q}", "r}")}]\n'
        'c.chat.completions.create(messages=build("Q"))',
        5,
    ),
    "method that sets every property": (
        f"class A:\n    def __init__(self):\n        self.m = [{S}]\n    def __setattr__(self, n, v): ...\n"
        "    def ask(self):\n        c.chat.completions.create(messages=self.m)",
        5,
    ),
    "empty": ("c.chat.completions.create(messages=[])", 2),
    "passed to a function that changes it": (f"def f(x):\n    x.pop()\nm = [{S}]\nf(m)\n{SEND}", 5),
    "part replaced": (f"m = [{S}, {U}]\nm[0:1] = []\n{SEND}", 3),
    "keywords changed in a branch": (
        f'k = dict(messages=[{S}])\nif x:\n    k["a"] = 1\nc.chat.completions.create(**k)',
        4,
    ),
    "appended in an argument": (f"m = [{S}]\nc.chat.completions.create(messages=m, n=len(m.append({U}) or m))", 3),
    "main module": (f"import __main__\nm = [{S}]\n__main__.m = []\n{SEND}", 2),
    "end of the program": (f"m = [{U}]\nraise SystemExit(0)\n{SEND}", 4),
    "function of other names": (f"m = [{U}]\ntypes.FunctionType(f.__code__, {{}})()\n{SEND}", 3),
    "comparison that changes": (
        f"class A:\n    def __eq__(self, o):\n        o['content'] = 'T'\nm = [{U}]\nm.count(A())\n{SEND}",
        3,
    ),
    "appended behind a copy": (f"b = [{S}]\nm = [*b]\nb.append({U})\n{SEND}", 4),
    "call that is only passed on": (f"m = [{U}]\nretry(c.chat.completions.create, messages=m)", 3),
    "text of a size that doubles": (
        'a0 = "xx"\n'
        + "".join(f'a{i + 1} = f"{{a{i}}}{{a{i}}}"\n' for i in range(40))
        + f'm = [{{"role": "user", "content": a40}}]\n{SEND}',
        14,
    ),
    "open text of a size that doubles": (
        "a0 = q()\n"
        + "".join(f'a{i + 1} = f"{{a{i}}}{{a{i}}}-"\n' for i in range(40))
        + f'm = [{{"role": "user", "content": a40}}]\n{SEND}',
        14,
    ),
}


@pytest.mark.parametrize("case", REFUSED_PYTHON)
def test_open_any_python_program_that_may_send_other_messages_is_refused_with_the_line(case: str) -> None:
    code, line = REFUSED_PYTHON[case]
    with pytest.raises(InputError) as refused:
        imported(f"import openai\n{code}\n")
    assert lines_in(str(refused.value))[:1] == [line]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("x = " + "-" * 20_000 + f"1\n{SEND}", "the snippet is nested too deeply"),
        ("x = 1\n" * 30_001 + SEND, "more than 60,000 parts"),
    ],
)
def test_open_any_python_program_that_is_too_large_is_refused(code: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        open_any(code)


def test_open_any_python_argument_that_is_not_known_is_named_and_left_out() -> None:
    code = f"c.chat.completions.create(messages=[{U}], temperature=t, tools=[f()], stop=None, **more)"
    opened = open_any(code)
    assert opened.document.parameters == {"stop": None}
    assert opened.document.tools == ()
    assert [note.split(" was")[0] for note in opened.notes] == ["temperature", "tools", "**more"]


JAVASCRIPT: dict[str, tuple[str, list[str | None], list[int]]] = {
    "call that is not awaited": (
        f"const m = [{S}];\nconst p = {JS_SEND.replace('await ', '')}\nm.push({U});\nawait p;",
        ["S"],
        [4],
    ),
    "list that grows behind the call": (f"const m = [{S}];\n{JS_SEND}\nm.push({U});", ["S"], []),
    "many texts": (
        f"const q = 'A';\nconst m = [{{role: 'user', content: {'q + ' * 3_000}q}}];\n{JS_SEND}",
        ["A" * 3_001],
        [],
    ),
    "push": (f"const m = [{S}];\nm.push({U});\n{JS_SEND}", ["S", "U"], []),
    "typed": (f"const m: Array<Message>[] = [{S} as const];\nm.push({U} satisfies M);\n{JS_SEND}", ["S", "U"], []),
    "spread": (f"const h = [{S}];\nconst m = [...h, {U}];\n{JS_SEND}", ["S", "U"], []),
    "unknown spread": (f"const m = [{S}, ...h];\n{JS_SEND}", ["S"], [2]),
    "set again": (f'let q = "old";\nq = "new";\nconst m = [{Q}];\n{JS_SEND}\nq = "later";', ["{{q}}"], [2, 3, 6]),
    "added text": (f'let q = "A";\nq += "B";\nconst m = [{Q}];\n{JS_SEND}', ["{{q}}"], [2, 3]),
    "set in a branch": (f'let q = "A";\nif (x) {{ q = "B"; }}\nconst m = [{Q}];\n{JS_SEND}', ["{{q}}"], [2, 3]),
    "set by &&": (f'let q = "A";\nx && (q = "B");\nconst m = [{Q}];\n{JS_SEND}', ["{{q}}"], [2, 3]),
    "set by destructuring": (f'let q = "A";\n[q, x] = [x, q];\nconst m = [{Q}];\n{JS_SEND}', ["{{q}}"], [2, 3]),
    "set by a function": (f'let q = "A";\nf(() => {{ q = "B"; }});\nconst m = [{Q}];\n{JS_SEND}', ["{{q}}"], [2, 3]),
    "push in a branch": (f"const m = [{S}];\nif (x) m.push({U});\n{JS_SEND}", ["S"], [3]),
    "push in a loop": (
        f"const m = [{S}];\nfor (const q of qs) {{\n  m.push({Q});\n  {JS_SEND}\n  m.push(r);\n}}",
        ["S", "{{q}}"],
        [3, 4, 6],
    ),
    "push by a function": (
        f"const m = [{S}];\nasync function ask(q) {{\n  m.push({Q});\n  {JS_SEND}\n  m.push(r);\n}}",
        ["S", "{{q}}"],
        [3, 4, 6],
    ),
    "local before global": (
        f'const q = "G";\nfunction a() {{ const q = "L"; const m = [{Q}]; {JS_SEND} }}\n'
        'function b() { const q = "O"; }',
        ["L"],
        [],
    ),
    "parameter": (f'const q = "G";\nasync function a(q) {{ const m = [{Q}]; {JS_SEND} }}', ["{{q}}"], [2, 3]),
    "arrow parameter": (
        f'const q = "G";\nconst a = (q) => c.chat.completions.create({{messages: [{Q}]}});',
        ["{{q}}"],
        [2, 3],
    ),
    "argument of map": (
        f'const q = "G";\nx.map(q => c.chat.completions.create({{messages: [{Q}]}}));',
        ["{{q}}"],
        [2, 3],
    ),
    "parts of a request": (f"const {{ q }} = req.body;\nconst m = [{Q}];\n{JS_SEND}", ["{{q}}"], [2]),
    "template": ('const n = "N";\nconst m = [{role: "user", content: `${n} ${u.x}`}];\n' + JS_SEND, ["N {{u_x}}"], [3]),
    "call in comments and texts": (
        f"/* {JS_SEND} */\n// {JS_SEND}\nconst s = '{JS_SEND}', r = /[\"'`]/;\nconst m = [{U}];\n{JS_SEND}",
        ["U"],
        [],
    ),
    "two calls": (f"const m = [{U}];\n{JS_SEND}\n{JS_SEND}", ["U"], [3, 4]),
    "message changed in the list": (f'const x = {U};\nconst m = [{S}, x];\nx.content = "T";\n{JS_SEND}', ["S"], [4]),
    "list that is read": (
        f"const m = [{S}];\nconsole.log(m, m.length, m[0].content);\nif (m.length > 3) stop();\n{JS_SEND}",
        ["S"],
        [],
    ),
    "optional push": (f"const m = [{S}];\nm?.push({U});\n{JS_SEND}", ["S", "U"], []),
    "shorthand": (f'const role = "user", content = "U";\nconst m = [{{ role, content }}];\n{JS_SEND}', ["U"], []),
    "options and more": (f"const o = {{messages: [{U}], ...more}};\nc.chat.completions.create(o)", ["U"], [2]),
    "block with a name of its own": (
        f'const q = "A";\n{{ const q = "B"; }}\nconst m = [{Q}];\n{JS_SEND}',
        ["{{q}}"],
        [2, 3],
    ),
    "code that is not understood": (
        f'let q = "A";\nconst x = <p title={{q}}>don\'t</p>;\nconst m = [{Q}];\n{JS_SEND}',
        ["A"],
        [],
    ),
    "class with types": (
        f'abstract class A<T> extends B {{\n  private readonly n: string = "N";\n'
        f"  async ask(q: string): Promise<T> {{\n"
        f"    const m: Message[] = [{S}, {Q}];\n    return {JS_SEND}\n  }}\n}}",
        ["S", "{{q}}"],
        [4],
    ),
    "set by a field of a class": (
        f'let q = "A";\nclass B {{ static x = (q = "B"); static {{ q = "C"; }} }}\nconst m = [{Q}];\n{JS_SEND}',
        ["{{q}}"],
        [2, 3],
    ),
    "call on lines of its own": (f"c.chat.completions\n  .create({{messages: [{U}]}})\n  .then(f)", ["U"], []),
    "trim": ('const m = [{role: "user", content: "\\ufeff\\x1f U\\u2003".trim()}];\n' + JS_SEND, ["\x1f U"], []),
    "set by a default value": (
        f'let q = "A";\nconst f = (x = (q = "D")) => x;\nq = "B";\nf();\nconst m = [{Q}];\n{JS_SEND}',
        ["{{q}}"],
        [2, 3, 4],
    ),
    "counted on a line of its own": (f'let q = "1"\nlet x = q\n++x\nconst m = [{Q}];\n{JS_SEND}', ["1"], []),
    "export of a handler": (
        f"export default {{\n  async fetch(q, env) {{\n    const m = [{S}, {Q}];\n    {JS_SEND}\n  }},\n}};",
        ["S", "{{q}}"],
        [3],
    ),
    "typed arrow function": (
        f"export const ask = async (q: string): Promise<void> => {{ const m: M[] = [{S}, {Q}]; {JS_SEND} }};",
        ["S", "{{q}}"],
        [2],
    ),
    "undefined": ("c.chat.completions.create({messages: [" + U + "], stop: undefined})", ["U"], []),
    "undefined field of a message": (
        'c.chat.completions.create({messages: [{role: "user", content: "U", name: undefined}]})',
        ["U"],
        [],
    ),
    "call of OpenAI's library before version 4": (f"c.createChatCompletion({{messages: [{U}]}})", ["U"], []),
    "numbers in a template": (
        'const n = 1.0, x = 0.5;\nconst m = [{role: "user", content: `${n} ${x}`}];\n' + JS_SEND,
        ["1 {{x}}"],
        [3],
    ),
    "two calls of a function": (
        'const m = [{role: "user", content: `${Math.random()} ${Math.random()}`}];\n' + JS_SEND,
        ["{{Math_random}} {{Math_random_2}}"],
        [2],
    ),
    "line ends of Windows": ('const m = [{role: "user", content: `a\r\nb`}];\r\n' + JS_SEND, ["a\nb"], []),
    "octal": (r'const m = [{role: "user", content: "\101\08\1z"}];' + f"\n{JS_SEND}", ["A\x008\x01z"], []),
    "halves of a character": (
        r'const m = [{role: "user", content: "\ud83d" + "\ude00"}];' + f"\n{JS_SEND}",
        ["😀"],
        [],
    ),
    "expression in a template": (
        'const m = [{role: "user", content: `${ /}`/.source }`}];\n' + JS_SEND,
        ["{{source}}"],
        [2],
    ),
    "other names of the client": (
        f"const {{ chat: {{ completions }} }} = c, f = c.chat.completions.create;\n"
        f"completions.create({{messages: [{S}]}});\nf({{messages: [{U}]}});\n"
        f'c["chat"].completions["create"]({{messages: [{U}]}});',
        ["U"],
        [4, 5],
    ),
    "client that an arrow function is given": (
        f"const f = (c) => c.chat.completions.create({{messages: [{U}]}});\nf(new OpenAI());\nf(wrap());",
        ["U"],
        [4],
    ),
    "required client": (
        f'const {{ OpenAI }} = require("openai");\nconst c = new OpenAI();\nconst m = [{U}];\n{JS_SEND}',
        ["U"],
        [],
    ),
    "other name that is set later": (
        f"let cc; cc = c.chat.completions;\ncc.create({{messages: [{S}]}});\nconst m = [{U}];\n{JS_SEND}",
        ["U"],
        [2],
    ),
    "computed push": (f'const m = [{S}];\nm["push"]({U});\n{JS_SEND}', ["S", "U"], []),
    "hoisted function that runs before": (
        f"const m = [{S}];\nnew Go();\nm.push({U});\nfunction Go() {{ {JS_SEND.replace('await ', '')} }}",
        ["S"],
        [4],
    ),
    "function behind the list": (f"const m = [];\nm.push({S});\nasync function go() {{ {JS_SEND} }}", ["S"], []),
    "var of another function": (
        f'go();\nvar q = "A";\nasync function go() {{ const m = [{Q}]; {JS_SEND} }}',
        ["{{q}}"],
        [4],
    ),
    "var set after the call": (f'async function go() {{ const m = [{Q}]; {JS_SEND} var q = "A"; }}', ["{{q}}"], [2]),
    "text of an object": (
        'const o = f();\nconst m = [{role: "user", content: `${o}` + " " + o}];\n' + JS_SEND,
        ["{{o}} {{o_2}}"],
        [2],
    ),
    "holes": (f'const m = [{S},, {U}];\nc.chat.completions.create({{messages: [{U}], stop: [,"a"]}})', ["U"], [3]),
    "negative number": (f'const m = [{{role: "user", content: `${{-1}}`}}];\n{JS_SEND}', ["-1"], []),
}


@pytest.mark.parametrize("case", JAVASCRIPT)
def test_open_any_javascript_program_gives_what_it_sends_or_names_the_rest(case: str) -> None:
    code, contents, lines = JAVASCRIPT[case]
    assert imported(f"\n{code}\n") == (contents, lines)


REFUSED_JAVASCRIPT: dict[str, tuple[str, int]] = {
    "property of the client": (f"c.chat = {{ completions: f }};\nconst m = [{S}];\n{JS_SEND}", 2),
    "JSON with a function": ("fetch('/chat/completions', {body: JSON.stringify({messages: []}, f)});", 2),
    "concat": (f"const m = [{S}].concat([{U}]);\n{JS_SEND}", 2),
    "item set": (f'const m = [{U}];\nm[0].content = "T";\n{JS_SEND}', 3),
    "options changed": (
        f"const o = {{messages: [{U}]}};\no.temperature = 0.1;\nawait c.chat.completions.create(o);",
        3,
    ),
    "line separator": (f'const m = [{U}];\n// x\u2028m[0].content = "T";\n{JS_SEND}', 3),
    "client of a subclass": (f"class My extends OpenAI {{}}\nconst c = new My();\nconst m = [{U}];\n{JS_SEND}", 3),
    "create that is replaced": (
        f"Object.assign(c.chat.completions, {{create: (b) => f(b)}});\nconst m = [{U}];\n{JS_SEND}",
        2,
    ),
    "function that returns messages": (
        f"const build = (q) => [{S}, {Q}];\nfunction more() {{ return [{U}]; }}\n"
        'c.chat.completions.create({messages: [...build("Q"), ...more()]});',
        4,
    ),
    "global object": (f"var m = [{S}];\nglobalThis.m = [];\n{JS_SEND}", 3),
    "call in code not understood": (f"const m = [{S}];\nconst x = <p>{{ {JS_SEND} }}</p>", 3),
    "text added to a list": (f"let m = [{S}];\nm += [{U}];\n{JS_SEND}", 2),
    "own getter": ("const o = { get messages() { return f(); } };\nc.chat.completions.create(o);", 2),
    "unknown subclass": (
        f'import OpenAI from "openai";\nclass My extends OpenAI {{}}\nconst c = new My();\nconst m = [{U}];\n{JS_SEND}',
        4,
    ),
}


@pytest.mark.parametrize("case", REFUSED_JAVASCRIPT)
def test_open_any_javascript_program_that_may_send_other_messages_is_refused_with_the_line(case: str) -> None:
    code, line = REFUSED_JAVASCRIPT[case]
    with pytest.raises(InputError) as refused:
        imported(f"\n{code}\n")
    assert lines_in(str(refused.value))[:1] == [line]


MIDDLES: dict[str, dict[str, tuple[str, int]]] = {
    "python": {
        "added name": ("m += more", 2),
        "extended by its own name": ("m.extend(m)", 3),
        "list in a dict": (f'd = {{"m": m}}\nd["m"].append({U})', 4),
        "list read in a loop": ('for x in m:\n    print(x["content"], len(m))', 3),
        "name set in an annotation": (f"x: (m := [{U}])", 2),
        "list changed in an annotation": (f"def f(a: m.append({U})): ...", 3),
        "changed by a function in a function": (f"def f(x):\n    def g():\n        x.append({U})\n    g()\nf(m)", 7),
        "method of another class": (f"class A:\n    def get(self, x):\n        x.append({U})\nA().get(m)", 6),
        "function as an argument": ("print(max(m, key=lambda x: x.update(content='T')))", 3),
        "loop variable in a function": ("for x in m:\n    f = lambda: x.update(content='T')\n    f()", 3),
        "setattr": ("setattr(x, 'm', [])", 3),
        "passed to a function": ("trim(m)", 3),
        "items changed in a loop": ('for x in m:\n    x["content"] = "T"', 3),
        "popped by a function": ("def f():\n    m.pop()\nf()", 4),
        "stored elsewhere": (f"self.m = m\nself.m.append({U})", 3),
        "method not called": (f"add = m.append\nadd({U})", 4),
        "unbound method": (f"list.append(m, {U})", 3),
        "default argument": (f"def r(m=m):\n    m.append({U})\nr()", 2),
        "named in an expression": (f"(q := m).append({U})", 3),
        "returned": (f"def get():\n    return m\nget().append({U})", 4),
        "loop variable used later": ('for x in m:\n    pass\nx["content"] = "T"', 3),
        "exec": ("exec(x)", 3),
        "globals": ("globals()['m'] = []", 3),
        "modules": ("sys.modules[__name__].m = []", 3),
        "other name that is extended": (f"n = m\nn += [{U}]", 4),
        "attribute of a class": (f"class K:\n    n = m\nK.n.append({U})", 4),
    },
    "javascript": {
        "long comparison": ("const x = " + "a < " * 10_000 + "1;", 3),
        "name with an escape": (f"\\u006d.push({U});", 3),
        "with": (f"with (o) {{ m.push({U}); }}", 3),
        "in an object": (f"const o = {{m}}; o.m.push({U});", 3),
        "set method": (f"const o = {{ set x(v) {{ v.push({U}); }} }};\no.x = m;", 4),
        "tagged template": ("const x = f`${m}`;", 3),
        "own log": (f"const L = {{log: (x) => x.push({U})}};\nL.log(m);", 4),
        "function as an argument": ("JSON.stringify(m, (k, v) => { v.content = 'T'; });", 3),
        "arguments": (f"function f() {{ arguments[0].push({U}); }}\nf(m);", 4),
        "prototype": ("Array.prototype.push = f;", 3),
        "loop over the list": ('for (const x of m) x.content = "T";', 3),
        "forEach": ('m.forEach(x => x.content += "T");', 3),
        "item by at": ('const x = m.at(-1); x.content = "T";', 3),
        "item by index": ('const x = m[m.length - 1]; x.content = "T";', 3),
        "item by destructuring": ('const {0: x} = m; x.content = "T";', 3),
        "comma": (f"const n = (0, m); n.push({U});", 3),
        "returned": (f"const get = () => m; get().push({U});", 3),
        "eval": ("eval(x);", 3),
        "passed to a function": ("trim(m);", 3),
        "passed in an object": ("save({ m });", 3),
        "end of the program": ("process.exit(0);", 4),
        "thrown": ('throw new Error("x");', 4),
        "log that is replaced": ("console.log = f;\nconsole.log(m);", 3),
        "code that is no JavaScript": ("const x = ;", 3),
    },
}
"""Code between a list of messages and its call that may change the list, and the line that the refusal names."""
FRAMES = {"python": (f"import openai\nm = [{S}]", SEND), "javascript": (f"\nconst m = [{S}];", JS_SEND)}


@pytest.mark.parametrize(("language", "case"), [(language, case) for language in MIDDLES for case in MIDDLES[language]])
def test_open_any_program_that_may_change_its_list_is_refused_with_the_line(language: str, case: str) -> None:
    (middle, line), (start, end) = MIDDLES[language][case], FRAMES[language]
    with pytest.raises(InputError) as refused:
        open_any(f"{start}\n{middle}\n{end}\n")
    assert lines_in(str(refused.value))[:1] == [line]


def test_open_any_javascript_numbers_and_options_are_read() -> None:
    code = (
        f"await c.chat.completions.create({{messages: [{U}], temperature: .5, seed: 0x10, max_tokens: 1_000, n: f(x)}})"
    )
    opened = open_any(code)
    assert opened.document.parameters == {"temperature": 0.5, "seed": 16, "max_tokens": 1000}
    assert [note.split(" was")[0] for note in opened.notes] == ["n"]


def test_open_any_octal_escapes_of_the_shell_are_read() -> None:
    content = r"\101\x42 \xc3\xa9\303\251 \u00e9 a\/b \'"
    code = f"""curl https://a.example/v1/chat/completions -d $'{SHELL_BODY.replace("U", content)}'"""
    assert [message.content for message in open_any(code).document.messages] == ["AB éé é a/b '"]


@pytest.mark.parametrize("answer", ["answer=$(%s | jq .)", 'local answer="$(%s)"', "export A=$( %s)\necho $A"])
def test_open_any_curl_command_whose_answer_is_stored_is_read(answer: str) -> None:
    code = answer % f"curl https://a.example -d '{SHELL_BODY.replace('U', '(U)')}'"
    assert import_kind(code) == "curl command"
    assert [message.content for message in open_any(f"A=1\n{code}").document.messages] == ["(U)"]


def test_open_any_shell_function_and_options_of_the_shell_are_read() -> None:
    body = r"{\"messages\":[{\"role\":\"user\",\"content\":\"$t\"}]}"
    code = f"""#!/bin/bash
set -euo pipefail
A=a
B=b
ask() {{
  local t="$1 $A $B"
  curl -s https://a.example/v1/chat/completions -d "{body}" | jq .
}}
B=c
ask q"""
    assert [message.content for message in open_any(code).document.messages] == ["{{value_1}} a {{B}}"]


@pytest.mark.parametrize("before", ["f() { true; }", "Q=a; export R=$(cat x) S=b", "if true; then", "echo '{}' |"])
def test_open_any_shell_script_that_is_not_read_is_refused_with_the_line(before: str) -> None:
    with pytest.raises(InputError) as refused:
        open_any(f"#!/bin/sh\n{before} curl https://a.example -d '{{}}'")
    assert "line 2" in str(refused.value)


@pytest.mark.parametrize(
    ("start", "content", "lines"),
    [("EOF", "(a {{B}} \t", [4]), ("'EOF'", "($A $B \t", []), ("-EOF", "(a {{B}} \t", [4])],
)
def test_open_any_document_of_a_shell_in_a_command_is_read(start: str, content: str, lines: list[int]) -> None:
    code = f"""A=a
curl https://a.example -d "$(cat <<{start}
{{"messages":[
{{"role":"user","content":"($A $B \\t"}}]}}
EOF
)" | jq ."""
    opened = open_any(code)
    assert [message.content for message in opened.document.messages] == [content]
    assert lines_in(" ".join(opened.notes)) == lines


def test_open_any_names_that_a_shell_script_needs_may_be_checked_before_curl() -> None:
    code = f""": "${{KEY:?missing}}"\n: ${{URL?}}\ncurl "$URL" -d '{SHELL_BODY}'"""
    assert [message.content for message in open_any(code).document.messages] == ["U"]


def test_open_any_unknown_values_of_a_shell_are_named_with_their_lines() -> None:
    code = """A=a
curl https://a.example -d @- <<EOF
{"messages":
[{"role":"user","content":"$A ${B:-b}"},
{"role":"user","content":"$C"}]}
EOF"""
    opened = open_any(code)
    assert [message.content for message in opened.document.messages] == ["a {{B_b}}", "{{C}}"]
    assert lines_in(" ".join(opened.notes)) == [4, 5]


def test_open_any_text_in_lines_of_powershell_is_read() -> None:
    code = f"curl.exe https://a.example -d @'\n{SHELL_BODY}\n'@"
    assert [message.content for message in open_any(code, "a.ps1").document.messages] == ["U"]


@pytest.mark.parametrize(("module", "is_read"), [("rich", True), ("helpers", False)])
def test_open_any_print_of_another_module_may_change_its_argument(module: str, is_read: bool) -> None:
    code = f"from {module} import print\nm = [{S}]\nprint(m)\n{SEND}"
    if is_read:
        assert imported(code) == (["S"], [])
        return
    with pytest.raises(InputError, match="line 3 passes m on or changes it"):
        open_any(code)


def test_open_any_posted_body_by_position_beside_none_is_read() -> None:
    code = f'import requests\nrequests.post("https://a.example/chat/completions", None, {{"messages": [{S}]}})'
    assert imported(code) == (["S"], [])


def test_open_any_json_options_of_curl_are_joined() -> None:
    code = f"""Q=a # comment
curl https://a.example/v1/chat/completions --json '{{"messages":' --json '[{U}]}}'"""
    assert [message.content for message in open_any(code).document.messages] == ["U"]


SHELL_BODY = '{"messages":[{"role":"user","content":"U"}]}'
REFUSED_SHELL = {
    "get": (f"curl -sG https://a.example -d '{SHELL_BODY}'", "-G: sends no body"),
    "head": (f"curl --head https://a.example -d '{SHELL_BODY}'", "--head: sends no body"),
    "encoded": (f"curl https://a.example --data-urlencode '{SHELL_BODY}'", "--data-urlencode: encodes the body"),
    "split into words": (
        'X=\'a b\'\ncurl https://a.example -d \'{"messages":[{"role":"user","content":"\'$X\'"}]}\'',
        "line 2: $X is not quoted",
    ),
    "braces": (f"curl https://a.example -d {SHELL_BODY}".replace('"', r"\""), "line 1: braces that are not quoted"),
    "doubled": (
        "A=ab\n" + "A=${A}${A}\n" * 40 + f"curl https://a.example -d '{SHELL_BODY}'",
        "too large to be evaluated",
    ),
    "command of PowerShell": ("curl -Uri https://a.example -Body '{}'", "-Uri: belongs to Invoke-WebRequest"),
    "form": (f"curl https://a.example -F a=b -d '{SHELL_BODY}'", "-F: gives the request another body"),
    "standard input": ("curl https://a.example -d @- <<< '{}'", "the body is on standard input"),
    "output of a command": (
        """Q=1\ncurl https://a.example -d "$(jq -n --arg q "$1" '{a: $q}')\"""",
        "is $(jq -n --arg q \"$1\" '{a: $q}'), whose value is not known (the curl command in line 2)",
    ),
    "nested command": (
        """curl https://a.example -d "{\n\\"a\\": \\"$(f (g (h (i))))\\"\n}\"""",
        "line 2: $( is not understood",
    ),
    "nested command in a here document": (
        'curl https://a.example -d @- <<EOF\n{"a":\n"$(f (g (h (i))))"\n}\nEOF\n',
        "line 3: $( is not understood",
    ),
    "sum in brackets": ("""curl https://a.example -d "{$[1 + 1]}\"""", "line 1: $[ is not understood"),
    "translated text": ("""curl https://a.example -d '{"a": "'$"b"'"}'""", "line 1: $ is not understood"),
    "nested command that is not quoted": ("curl https://a.example -d '{'$(f (g (h (i))))'}'", "line 1: $ is not"),
    "half of a command": (r"""curl https://a.example -d "{\"a\": \"`f "x"`\"}\"""", "line 1: ` is not understood"),
    "nested command of PowerShell": (
        'curl.exe https://a.example -d "{$(f (g (h (i))))}"',
        "line 1: $( is not understood",
    ),
    "several assignments": (
        "A=a\nB=b C=c\ncurl https://a.example -d '{}'",
        "line 2: before curl, only comments and simple assignments, one in a line, are read, not B=b C=c.",
    ),
    "output of a command as a file": (
        "curl https://a.example -d @<(echo '{}')",
        "line 1: < is not understood",
    ),
    "line end of Windows": (
        f"A=a\r\ncurl https://a.example -d '{SHELL_BODY}'\r\n",
        "line 1: it ends in CR LF, and for a shell the CR belongs to the value",
    ),
    "value outside a text": (
        "Q=a\ncurl https://a.example -d '{\"messages\":[],\"seed\":'${N:-1}'}'",
        "has ${N:-1} outside a text, and its value is not known (the curl command in line 2)",
    ),
    "text in lines of PowerShell in a shell": (
        f"curl https://a.example -d @'\n{SHELL_BODY}\n'@",
        "line 3: @' is not understood",
    ),
    "document that ends twice": (
        f'curl https://a.example -d "$(cat <<E\n{SHELL_BODY}\nE\nx\nE\n)"',
        "line 6: $(cat << is not understood",
    ),
    "no JSON": ("\n\nQ=a\n\ncurl https://a.example -d '{'", "the curl command in line 5"),
}


@pytest.mark.parametrize("case", REFUSED_SHELL)
def test_open_any_shell_command_that_sends_something_else_is_refused(case: str) -> None:
    code, reason = REFUSED_SHELL[case]
    with pytest.raises(InputError) as refused:
        open_any(code)
    assert reason in str(refused.value)


def test_open_any_shell_names_have_the_value_of_the_last_assignment() -> None:
    code = """N=fir
N+=st
A="x $N"
N=second
curl https://a.example/v1/chat/completions -d @- <<EOF
{"messages":[{"role":"user","content":"$A $N $U $U $RANDOM $RANDOM \\"q\\""}]}
EOF"""
    assert [message.content for message in open_any(code).document.messages] == [
        'x first second {{U}} {{U}} {{RANDOM}} {{RANDOM_2}} "q"'
    ]


def test_open_any_shell_parameters_and_home_directories_are_open() -> None:
    code = r"""Y=~/z
curl https://a.example/v1/chat/completions -d "{\"messages\":[{\"role\":\"user\",\"content\":\"$@ $Y $\"}]}"
"""
    assert [message.content for message in open_any(code).document.messages] == ["{{value}} {{z}} $"]


def test_open_any_python_program_in_another_encoding_is_refused() -> None:
    with pytest.raises(InputError, match="in latin-1"):
        open_any(f"# -*- coding: latin-1 -*-\nc.chat.completions.create(messages=[{U}])")


def test_open_any_empty_tools_are_named() -> None:
    assert (
        "tools was left out: the list is empty."
        in open_any(f"c.chat.completions.create(messages=[{U}], tools=[])").notes
    )


POSTED = {
    "requests": f'p = {{"messages": [{S}]}}\nrequests.post("https://a.example/v1/chat/completions", json=p)',
    "dumped": f'x.post(f"{{base}}/chat/completions", data=json.dumps({{"messages": [{S}], "user": u}}))',
    "fetch": f"await fetch(`${{base}}/chat/completions`, {{body: JSON.stringify({{messages: [{S}], user: u}})}});",
    "options": f'const p = {{messages: [{S}]}}, o = {{body: JSON.stringify(p)}};\nfetch("/chat/completions", o);',
    "after another": (
        f'fetch("/login", {{}}); fetch("/chat/completions", {{body: JSON.stringify({{messages: [{S}]}})}});'
    ),
    "method": (
        'conn = requests.Session()\nconn.request("POST", "https://a.example/chat/completions", '
        f'data=json.dumps({{"messages": [{S}]}}).encode("utf-8"))'
    ),
    "stream": (
        'import httpx\nwith httpx.stream("POST", "https://a.example/chat/completions", '
        f'json={{"messages": [{S}]}}) as r:\n    pass'
    ),
    "method by name": f'requests.request(method="POST", url="/chat/completions", json={{"messages": [{S}]}})',
    "connection": (
        f'import http.client\nk = http.client.HTTPSConnection("h")\np = json.dumps({{"messages": [{S}]}})\n'
        'k.request("POST", "/v1/chat/completions", p, headers)'
    ),
    "urllib": (
        f'import urllib.request\nb = json.dumps({{"messages": [{S}]}}).encode()\n'
        'r = urllib.request.Request("https://a.example/chat/completions", data=b)\nurllib.request.urlopen(r)'
    ),
    "body as the second argument": (
        f'import requests\nrequests.post("https://a.example/chat/completions", json.dumps({{"messages": [{S}]}}))'
    ),
    "body that is named twice": (
        f'fetch("/chat/completions", {{body: "{{}}", body: JSON.stringify({{messages: [{S}]}})}});'
    ),
    "axios with an object": (
        f'const o = {{method: "post", url: "/chat/completions", data: {{messages: [{S}]}}}};\naxios(o).then(f);'
    ),
    "request of axios": (
        f'const d = JSON.stringify({{messages: [{S}]}});\naxios.request({{url: "/chat/completions", data: d}});'
    ),
    "axios": f'const r = await axios.post("https://a.example/chat/completions", {{messages: [{S}]}}, {{headers}});',
}


@pytest.mark.parametrize("case", POSTED)
def test_open_any_request_without_an_sdk_gives_its_json(case: str) -> None:
    assert import_kind(POSTED[case]) == "request in a program"
    lines = [1] if case in ("dumped", "fetch", "after another") else []
    assert imported(POSTED[case]) == (["S"], lines)


@pytest.mark.parametrize("call", ["chat.completions.stream", "messages.stream", "responses.stream"])
def test_open_any_call_of_a_stream_keeps_that_it_streams(call: str) -> None:
    argument = "input" if "responses" in call else "messages"
    opened = open_any(f"with c.{call}({argument}=[{U}]) as events:\n    pass")
    assert (opened.document.stream, "stream" in opened.format.keys) == (True, True)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ('requests.post("https://a.example/login", json={})  # /chat/completions', "line 1: the address"),
        (
            'requests.post("/chat/completions", json=body)',
            r"line 1: the JSON of the request is not in the program\. Paste",
        ),
        (
            f'b = {{"messages": [{S}]}}\nb["n"] = 2\nrequests.post("/chat/completions", json=b)',
            r"line 3: the JSON of the request is not in the program \(line 2 passes b on",
        ),
        ('fetch("https://a.example/chat/completions", options);', "line 1: the JSON of the request"),
        (
            f'x = 1\nrequests.post("/chat/completions", data={{"messages": [{S}]}})',
            "line 2: the body is not sent as JSON",
        ),
        (f'fetch("/chat/completions", {{body: {{messages: [{S}]}}}});', "line 1: the body is not sent as JSON"),
        (
            f'requests.post("/chat/completions", json={{"messages": [{S}]}}, files=f)',
            "line 1: the request has two bodies",
        ),
        (
            'fetch(new Request("/chat/completions", {body: "{}"}));',
            "line 1: the address of the request is not known",
        ),
    ],
)
def test_open_any_request_that_is_not_known_is_refused_with_the_line(code: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        open_any(code)


SHELL_VALUES = {
    "names of the shell": (
        "SECONDS=5\nFUNCNAME=f\n",
        "$SECONDS $SECONDS $FUNCNAME",
        "{{SECONDS}} {{SECONDS_2}} {{FUNCNAME}}",
    ),
    "home directory": ("A=a:~/r\nB=~\nC=a~b\nD='~'\n", "$A|$B|$C|$D", "a:{{r}}|{{value}}|a~b|~"),
}


@pytest.mark.parametrize("case", SHELL_VALUES)
def test_open_any_shell_names_have_the_value_that_the_shell_gives_them(case: str) -> None:
    before, content, expected = SHELL_VALUES[case]
    body = r"{\"messages\":[{\"role\":\"user\",\"content\":\"" + content + r"\"}]}"
    code = f'{before}curl https://a.example/v1/chat/completions -d "{body}"'
    assert [message.content for message in open_any(code).document.messages] == [expected]


def test_open_any_shell_separator_of_words_is_refused_with_the_line() -> None:
    with pytest.raises(InputError) as refused:
        open_any(f"\nIFS=,\ncurl https://a.example -d '{SHELL_BODY}'")
    assert lines_in(str(refused.value)) == [2]


def test_open_any_here_document_lines_that_a_backslash_joins_are_one() -> None:
    head = "curl https://a.example/v1/chat/completions -d @- <<-EOF\n"
    code = head + '\t{"messages": [\\\n\t\t{"role":"user","content":"A\\\nB"}]}\n\tE\\\nOF\n-H x'
    assert [message.content for message in open_any(code).document.messages] == ["AB"]
    quoted = head.replace("EOF", "'EOF'") + '\t{"messages": [{"role":"user","content":"A\\\\"}]}\n\tEOF\n'
    assert [message.content for message in open_any(quoted).document.messages] == ["A\\"]


def test_open_any_field_without_a_name_is_named() -> None:
    opened = open_any(f'c.chat.completions.create(messages=[{U}], **{{"": f()}})')
    assert opened.notes[0].startswith("A field without a name")


POST = 'requests.post("https://x.example/v1/chat/completions", json={"messages": [%s]})'


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        (f"m = [{U}]\nretry(c.chat.completions.create, messages=[{S}])\n{SEND}", [2]),
        (f"m = [{U}]\ncalls = [c.chat.completions.create]\ncalls[0](messages=[{S}])\n{SEND}", [2]),
        (f"m = [{U}]\nask = c.chat.completions.create\nThread(target=ask, kwargs={{}}).start()\n{SEND}", [3]),
        (f"m = [{U}]\nask = c.chat.completions.create\nask(messages=m)", []),
        (f"m = [{U}]\nc.chat.completions.with_streaming_response.create(messages=[{S}])\n{SEND}", [2]),
        (f'm = [{U}]\nc.post("/chat/completions", body={{"messages": [{S}]}})\n{SEND}', [2]),
        (f"import requests\nm = [{U}]\n{POST % S}\n{SEND}", [3]),
        (f"import httpx\nm = [{U}]\nwith httpx.stream('POST', url, json=b) as r: pass\n{SEND}", [3]),
        (f"import requests\ns = requests.Session()\nm = [{U}]\ns.post(url, json=b)\n{SEND}", [4]),
        (f"import requests\nm = [{U}]\nex.submit(requests.post, url, json=b)\n{SEND}", [3]),
        (f"from urllib.request import urlopen\nm = [{U}]\nurlopen(r)\n{SEND}", [3]),
        (f"import requests\nm = [{U}]\nrequests.get(url)\n{SEND}", []),
        (f"import axios from 'axios';\nconst h = axios.create();\nlet m = [{U}];\nawait h.post(u, b);\n{JS_SEND}", [4]),
        (f"let m = [{U}];\nawait Promise.all(all.map(fetch));\n{JS_SEND}", [2]),
        (f"let m = [{U}];\nawait c.chat.completions.create.apply(null, [{{messages: [{S}]}}]);\n{JS_SEND}", [2]),
        (f"let m = [{U}];\nawait fetch(url, {{method: 'POST', body: b}});\n{JS_SEND}", [2]),
        (f"import axios from 'axios';\nlet m = [{U}];\nawait axios({{url: u, data: b}});\n{JS_SEND}", [3]),
        (f"m = [{U}]\nsubprocess.run(['curl', 'https://a.example/chat/completions', '-d', b])\n{SEND}", [2]),
        (f"m = [{U}]\nc.completions.create(model='e', prompt='P')\n{SEND}", [2]),
        (f"m = [{U}]\nlitellm.completion(model='e', messages=[{S}])\n{SEND}", [2]),
        (f"m = [{U}]\ndef f(model, messages): ...\nf(model='e', messages=[])\n{SEND}", []),
        (f"import socket\nm = [{U}]\nsocket.create_connection(a).sendall(b)\n{SEND}", [3]),
        (f"m = [{U}]\nlog.info('POST /chat/completions')\nurl = urljoin(base, '/chat/completions')\n{SEND}", []),
        (f"c = OpenAI(base_url='https://a.example/chat/completions')\nm = [{U}]\n{SEND}", []),
        (
            f"c.chat.completions.create(messages=[{U}],\n model=pick(litellm.completion(model='e', messages=[])))",
            [2],
        ),
        (
            f"class A {{ #k = c.chat.completions; f() {{ this.#k.create({{model: 'e', messages: [{S}]}}); }} }}\n"
            f"new A().f();\nlet m = [{U}];\n{JS_SEND}",
            [1],
        ),
        (f"const f = fetch.bind(null, url);\nf({{body: b}});\nlet m = [{U}];\n{JS_SEND}", [1]),
        (f"x.open('POST', '/v1/chat/completions'); x.send(b);\nlet m = [{U}];\n{JS_SEND}", [1]),
    ],
)
def test_code_that_may_send_another_request_is_named(code: str, lines: list[int]) -> None:
    assert imported(code) == (["U"], lines)


ADDRESS = "https://x.example/v1/chat/completions"


def in_double_quotes(content: str) -> str:
    return r'"{\"messages\":[{\"role\":\"user\",\"content\":\"' + content + r'\"}]}"'


@pytest.mark.parametrize(
    ("name", "code", "content", "note"),
    [
        ("a.ps1", "curl https://a.example -d '" + SHELL_BODY.replace("U", "it''s") + "'", "it's", ""),
        ("", "curl.exe https://a.example -d '" + SHELL_BODY.replace("U", "it''s") + "'", "it's", ""),
        ("", "curl.exe https://a.example \\\n -d '" + SHELL_BODY.replace("U", "it''s") + "'", "its", ""),
        ("a.ps1", f"curl https://a.example -H \"K: $env:K\" `\n -d '{SHELL_BODY}'", "U", ""),
        ("a.cmd", f"curl https://a.example -d {in_double_quotes('%T% %T%')}", "{{T}} {{T}}", "%T% became"),
        ("a.bat", f"curl https://a.example -d {in_double_quotes('5%% %%%T%%%')}", "5% %{{T}}%", "%T% became"),
        ("", f"curl ^\n https://a.example -d {in_double_quotes('%T% 5%')}", "{{T}} 5%", "%T% became"),
        ("", f"curl.exe https://a.example -d {in_double_quotes('$T %T:~1%')}", "$T {{T_1}}", "%T:~1% became"),
        ("", f"curl https://a.example -d {in_double_quotes('%T%')}", "%T%", "The text %T% in line 1"),
        ("a.ps1", "curl.exe https://a.example -d '" + in_double_quotes(r"\\\"\n")[1:-1] + "'", '"\n', ""),
        ("", 'curl https://a.example -H "K: $env:K" -d \'' + SHELL_BODY.replace("U", "it''s") + "'", "it's", ""),
        ("", "curl https://a.example -d " + in_double_quotes('$(echo "x") ${A:-${B}}'), "{{echo_x}} {{A_B}}", "became"),
        ("", f"curl https://a.example\n  -d '{SHELL_BODY}'", "U", "the command ends in line 1:"),
        ("", f"curl https://a.example -H 'a: b' # \\\n  -d '{SHELL_BODY}'", "U", "the command ends in line 1:"),
        ("", f"curl https://a.example -d {in_double_quotes('$1')}", "{{value_1}}", "The expression $1 became"),
        ("", f"curl https://a.example -d {in_double_quotes('$#')}", "{{value}}", "The expression $# became"),
    ],
)
def test_command_is_read_as_its_shell_reads_it(name: str, code: str, content: str, note: str) -> None:
    opened = open_any(code, name)
    assert [message.content for message in opened.document.messages] == [content]
    assert note in " ".join(opened.notes)
    assert bool(note) is bool(opened.notes)


@pytest.mark.parametrize("body", [in_double_quotes("U"), in_double_quotes("U").replace("\\", "`"), "$'{}'"])
def test_command_that_powershell_reads_in_another_way_is_refused_with_its_line(body: str) -> None:
    with pytest.raises(InputError) as refused:
        open_any(f"curl https://a.example `\n -d {body}", "a.ps1")
    assert lines_in(str(refused.value)) == [2]


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (f'import requests\nb = {{"messages": [{U}]}}\nrequests.post("{ADDRESS}", data="{{}}", json=b)', 3),
        (f'import requests\nrequests.post("{ADDRESS}", data="no JSON")', 2),
        (
            f"const b = {{messages: [{U}]}};\n"
            f"fetch('{ADDRESS}', {{method: 'POST', body: JSON.stringify(b, ['messages'])}});",
            2,
        ),
        (f"const u = '';\nfetch('{ADDRESS}', {{method: 'POST', body: 'no JSON'}});", 2),
    ],
)
def test_request_whose_body_is_not_the_literal_is_refused_with_its_line(code: str, line: int) -> None:
    with pytest.raises(InputError) as refused:
        open_any(code)
    assert lines_in(str(refused.value)) == [line]


DUMPED = f'requests.post("{ADDRESS}", data=json.dumps({{"messages": [{U}]}}))'
STRINGIFIED = f"fetch('{ADDRESS}', {{method: 'POST', body: JSON.stringify({{messages: [{U}]}})}});"


@pytest.mark.parametrize(
    ("code", "line"),
    [
        (f"import requests\nimport mylib as json\n{DUMPED}", 3),
        (f"import requests\nfrom mylib import json\n{DUMPED}", 3),
        (f"import requests\nclass json:\n    dumps = str\n{DUMPED}", 4),
        (f"import requests\ndef send(json):\n    {DUMPED}\nsend(x)", 3),
        (f"import requests\nfor json in (a, b):\n    {DUMPED}", 3),
        (f"const JSON = {{stringify: (x) => ''}};\n{STRINGIFIED}", 2),
        (f"import {{ JSON }} from './mine';\n{STRINGIFIED}", 2),
        (f"import JSON from 'mine';\n{STRINGIFIED}", 2),
        (f"function send(JSON) {{\n{STRINGIFIED}\n}}\nsend(x);", 2),
        (f"const {{ JSON }} = mine;\n{STRINGIFIED}", 2),
    ],
)
def test_json_that_is_a_name_of_the_program_is_refused_with_its_line(code: str, line: int) -> None:
    with pytest.raises(InputError) as refused:
        open_any(code)
    assert lines_in(str(refused.value)) == [line]


@pytest.mark.parametrize("module", ["json", "ujson as json", "simplejson as json"])
def test_json_of_a_module_that_writes_json_is_read_beside_a_parameter_of_that_name(module: str) -> None:
    code = f"import requests\nimport {module}\ndef other(json=None):\n    return json\n{DUMPED}"
    assert [message.role for message in open_any(code).document.messages] == ["user"]


@pytest.mark.parametrize("name", ["len", "str", "repr"])
def test_built_in_name_that_is_imported_may_change_what_it_gets(name: str) -> None:
    with pytest.raises(InputError):
        open_any(f"from helpers import {name}\nm = [{U}]\n{name}(m)\n{SEND}")


def test_long_text_in_a_part_is_read_as_one_that_is_the_content() -> None:
    text = "word " * 96_000
    for content in (f'"{text}"', f'[{{"type": "text", "text": "{text}"}}]'):
        assert imported(f'm = [{{"role": "user", "content": {content}}}]\n{SEND}') == ([text], [])
