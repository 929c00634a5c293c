"""SDK calls in programs: what is imported equals what the program sends, or is named as open or left out."""

from __future__ import annotations

import pytest

from playground.prompt.field_errors import InputError
from playground.prompt.import_formats import import_kind, open_any

S = '{"role": "system", "content": "S"}'
U = '{"role": "user", "content": "U"}'
Q = '{"role": "user", "content": q}'
SEND = 'c.chat.completions.create(model="electron", messages=m)'
JS_SEND = 'await c.chat.completions.create({model: "electron", messages: m});'


def imported(code: str) -> tuple[list[str | None], str]:
    opened = open_any(f"import openai\n{code}\n")
    return [message.content for message in opened.document.messages], " ".join(opened.notes)


PYTHON: dict[str, tuple[str, list[str], str]] = {
    "append": (f"m = [{S}]\nm.append({U})\n{SEND}", ["S", "U"], ""),
    "extend": (f"m = [{S}]\nm.extend([{U}])\n{SEND}", ["S", "U"], ""),
    "added list": (f"m = [{S}]\nm += [{U}]\n{SEND}", ["S", "U"], ""),
    "added text": (f't = "S"\nt += "U"\nm = [{{"role": "user", "content": t}}]\n{SEND}', ["SU"], ""),
    "item set, insert": (f'm = [{U}]\nm[0]["content"] = "T"\nm.insert(0, {S})\n{SEND}', ["S", "T"], ""),
    "deleted, popped": (f"m = [{S}, {U}, {U}]\ndel m[0]\nm.pop()\n{SEND}", ["U"], ""),
    "other name of the list": (f"m = [{S}]\nh = m\nh.append({U})\n{SEND}", ["S", "U"], ""),
    "list in a dict": (f'm = [{S}]\nd = {{"m": m}}\nd["m"].append({U})\n{SEND}', ["S", "U"], ""),
    "copy of the list": (f"b = [{S}]\nm = b.copy()\nm.append({U})\nb.clear()\n{SEND}", ["S", "U"], ""),
    "slice": (f"m = [{S}, {U}]\nm = m[-1:]\n{SEND}", ["U"], ""),
    "spread": (f"h = [{S}]\nm = [*h, {U}]\n{SEND}", ["S", "U"], ""),
    "unknown spread": (f"m = [{S}, *history(), {U}]\n{SEND}", ["S", "U"], "*history() was left out"),
    "unknown list added": (f"m = [{S}] + history + [{U}]\n{SEND}", ["S", "U"], "*history was left out"),
    "dict call": (f'm = [dict(role="user", content="U")]\n{SEND}', ["U"], ""),
    "comprehension": (f'm = [{{"role": "user", "content": x}} for x in ["a", "b"]]\n{SEND}', ["a", "b"], ""),
    "set again": (f'q = "old"\nq = "new"\nm = [{Q}]\n{SEND}\nq = "later"', ["new"], ""),
    "set in a branch": (f'q = "A"\nif x:\n    q = "B"\nm = [{Q}]\n{SEND}', ["{{q}}"], "line 4 sets it"),
    "call in the branch": (f'q = "A"\nif x:\n    q = "B"\n    m = [{Q}]\n    {SEND}', ["B"], ""),
    "call in the other branch": (f'q = "A"\nif x:\n    q = "B"\nelse:\n    m = [{Q}]\n    {SEND}', ["A"], ""),
    "call in a handler": (f'q = "A"\ntry:\n    q = "B"\nexcept E:\n    m = [{Q}]\n    {SEND}', ["{{q}}"], "line 4"),
    "appended in a branch": (
        f"m = [{S}]\nif x:\n    m.append({U})\n{SEND}",
        ["S"],
        "What line 4 adds to m was left out",
    ),
    "appended in a loop": (f"m = [{S}]\nfor q in qs:\n    m.append({Q})\n{SEND}", ["S"], "What line 4 adds to m"),
    "call in a loop": (
        f"m = [{S}]\nfor q in qs:\n    m.append({Q})\n    {SEND}",
        ["S", "{{q}}"],
        "What line 4 adds to m",
    ),
    "local before global": (
        f'q = "global"\ndef ask():\n    q = "local"\n    m = [{Q}]\n    {SEND}\ndef other():\n    q = "other"',
        ["local"],
        "",
    ),
    "parameter before global": (f'q = "global"\ndef ask(q):\n    m = [{Q}]\n    {SEND}', ["{{q}}"], "{{q}}"),
    "lambda parameter": (f'q = "global"\nf = lambda q: c.chat.completions.create(messages=[{Q}])', ["{{q}}"], "{{q}}"),
    "comprehension variable": (f'q = "g"\n[c.chat.completions.create(messages=[{Q}]) for q in x]', ["{{q}}"], "{{q}}"),
    "class attribute": (
        f'class A:\n    q = "S"\n    def ask(self):\n        m = [{Q}]\n        {SEND}',
        ["{{q}}"],
        "{{q}}",
    ),
    "constant behind the function": (f'def ask():\n    m = [{Q}]\n    {SEND}\nq = "late"', ["late"], ""),
    "global set twice": (f'q = "A"\ndef ask():\n    m = [{Q}]\n    {SEND}\nq = "B"', ["{{q}}"], "line 6 sets it"),
    "global set by a function": (
        f'q = "A"\ndef f():\n    global q\n    q = "B"\nf()\nm = [{Q}]\n{SEND}',
        ["{{q}}"],
        "line 5 sets it",
    ),
    "appended by a function": (f"m = [{S}]\ndef f():\n    m.append({U})\nf()\n{SEND}", ["S"], "What line 4 adds to m"),
    "history of a function": (
        f"m = [{S}]\ndef ask(q):\n    m.append({Q})\n    r = {SEND}\n    m.append(r.message)",
        ["S", "{{q}}"],
        "What line 6 adds to m was left out",
    ),
    "read only function": (f"m = [{S}]\ndef n(x):\n    return len(x)\nn(m)\n{SEND}", ["S"], ""),
    "two inputs": (f"q = input()\nm = [{Q}]\nq = input()\nm.append({Q})\n{SEND}", ["{{q}}", "{{q_2}}"], "{{q_2}}"),
    "imported name": (f"from x import q\nm = [{Q}]\n{SEND}", ["{{q}}"], "{{q}}"),
    "format": (f'm = [{{"role": "user", "content": "{{}} %s".format(1) % q}}]\n{SEND}', ["1 {{q}}"], "{{q}}"),
    "format of a number": (f'n = 3.14159\nm = [{{"role": "user", "content": f"{{n:.2f}}"}}]\n{SEND}', ["3.14"], ""),
    "dedent": (f'm = [{{"role": "user", "content": textwrap.dedent("  a\\n   b")}}]\n{SEND}', ["a\n b"], ""),
    "conditional": (f'x = True\nm = [{{"role": "user", "content": "A" if x else "B"}}]\n{SEND}', ["A"], ""),
    "keywords in a dict": (
        f"k = dict(messages=[{S}])\nk['messages'] = [{U}]\nc.chat.completions.create(**k)",
        ["U"],
        "",
    ),
    "unknown message": (f"m = [{U}]\nm.append(r.choices[0].message)\n{SEND}", ["U"], "messages[1]"),
    "variable with a digit": (
        f'm = [{{"role": "user", "content": f"{{1 << 2}}"}}]\n{SEND}',
        ["{{value_1_2}}"],
        "1 << 2",
    ),
    "variable beside a written one": (
        f'm = [{{"role": "user", "content": "{{{{q}}}}" + q}}]\n{SEND}',
        ["{{q}}{{q_2}}"],
        "{{q_2}}",
    ),
    "call in a comment": (f'# c.chat.completions.create(messages=[])\n"""{JS_SEND}"""\nm = [{U}]\n{SEND}', ["U"], ""),
    "two calls": (f"m = [{U}]\n{SEND}\n{SEND}", ["U"], "line 3 was imported. 1 other call (line 4)"),
    "own function with the name of a builtin": (
        f'def str(x):\n    return "T"\nq = str("U")\nm = [{Q}]\n{SEND}',
        ["T"],
        "",
    ),
    "imported function with a known name": (
        f'from x import dedent\nq = dedent("U")\nm = [{Q}]\n{SEND}',
        ["{{q}}"],
        "line 3",
    ),
    "message updated by another name": (
        f'm = [{S}, {U}]\nd = m[0]\nd |= {{"content": "T"}}\n{SEND}',
        ["U"],
        "messages[0] was left out: line 4 changes d",
    ),
    "keywords and more": (
        f'k = {{"messages": [{U}], **more}}\nc.chat.completions.create(**k)',
        ["U"],
        "**more was left out",
    ),
    "list read in a loop": (f'm = [{S}]\nfor x in m:\n    print(x["content"], len(m))\n{SEND}', ["S"], ""),
    "class with a method that calls another": (
        f"class A:\n    def a(self):\n        self.b()\n    def b(self):\n        pass\nm = [{S}]\n{SEND}",
        ["S"],
        "",
    ),
    "two calls of a function": (
        'm = [{"role": "user", "content": f"{input()} {input()} {x.y} {x.y}"}]\n' + SEND,
        ["{{input}} {{input_2}} {{x_y}} {{x_y_2}}"],
        "{{input_2}}",
    ),
    "set again on the line": (
        f"q = input(); a = q; q = input()\nm = [{Q}, {Q.replace('q}', 'a}')}]\n{SEND}",
        ["{{q}}", "{{q_2}}"],
        "{{q_2}}",
    ),
    "one unknown value twice": (f"q = input()\nm = [{Q}, {Q}]\n{SEND}", ["{{q}}", "{{q}}"], "{{q}}"),
    "changed between two uses": (
        f'd = load()\nt = f"{{d}}"\nd["k"] = 1\nm = [{{"role": "user", "content": f"{{t}} {{d}}"}}]\n{SEND}',
        ["{{d}} {{d_2}}"],
        "{{d_2}}",
    ),
    "set by a function between two uses": (
        "def f():\n    global n\n    n += 1\nn = g()\n"
        f'm = [{{"role": "user", "content": f"{{n}} {{f()}} {{n}}"}}]\n{SEND}',
        ["{{n}} {{f}} {{n_2}}"],
        "{{n_2}}",
    ),
    "added to a tuple": (
        f'a = ("A",)\nb = a\nb += ("B",)\nm = [{{"role": "user", "content": "".join(a) + "".join(b)}}]\n{SEND}',
        ["AAB"],
        "",
    ),
    "with that may end an exception": (
        f'q = "A"\nwith suppress(KeyError):\n    q = "B"\nm = [{Q}]\n{SEND}',
        ["{{q}}"],
        "line 4 sets it",
    ),
    "with that passes exceptions on": (
        f'q = "A"\nwith open("x") as f:\n    q = "B"\nm = [{Q}]\n{SEND}',
        ["B"],
        "",
    ),
    "call that is not reached": (
        f"def f():\n    return\n    c.chat.completions.create(messages=[{S}])\nif 0:\n"
        f"    c.chat.completions.create(messages=[{S}])\ndef g():\n    c.chat.completions.create(messages=[{S}])\n"
        f"m = [{U}]\n{SEND}",
        ["U"],
        "The call in line 10 was imported. 1 other call (line 8)",
    ),
    "other name of the completions": (
        f"cc = c.chat.completions\ncc.create(messages=[{S}])\nm = [{U}]\n{SEND}",
        ["S"],
        "The call in line 3 was imported. 1 other call (line 5)",
    ),
    "known client": (f"c = openai.OpenAI()\nm = [{U}]\n{SEND}", ["U"], ""),
    "client of another package": (
        f"from mylib import OpenAI\nc = OpenAI()\nm = [{U}]\n{SEND}",
        ["U"],
        "The client is made by OpenAI in line 3, which may change the request.",
    ),
    "client of a subclass": (
        f"class My(openai.OpenAI):\n    pass\nc = My()\nm = [{U}]\n{SEND}",
        ["U"],
        "The client is made by My in line 4",
    ),
    "client that is wrapped": (
        f"c = openai.OpenAI()\nwrap(c)\nm = [{U}]\n{SEND}",
        ["U"],
        "The client is passed on in line 3",
    ),
    "client that a function changes": (
        f"def wrap(x):\n    x.chat.completions.create = f\nc = openai.OpenAI()\nwrap(c)\nm = [{U}]\n{SEND}",
        ["U"],
        "The client is changed in line 3",
    ),
    "create that is replaced": (
        f"c = openai.OpenAI()\nc.chat.completions.create = f\nm = [{U}]\n{SEND}",
        ["U"],
        "The client is changed in line 3",
    ),
    "all names of a module": (f"from x import *\nm = [{U}]\n{SEND}", ["U"], "Line 2 imports * from x"),
    "mock": (f"from unittest.mock import patch\nm = [{U}]\n{SEND}", ["U"], "Line 2 imports patch from unittest.mock"),
    "function of a module that is replaced": (
        f'textwrap.dedent = f\nm = [{{"role": "user", "content": textwrap.dedent(" a")}}]\n{SEND}',
        ["{{textwrap_dedent_a}}"],
        "textwrap.dedent",
    ),
    "sum of objects": (
        f'class P:\n    def __add__(self, o):\n        return 1\nq = P()\nq += "b"\nm = [{Q}]\n{SEND}',
        ["{{q}}"],
        "line 6 adds to it",
    ),
    "numbers": (f'n = 3 * 10 - 1\nm = [{{"role": "user", "content": f"{{n}}"}}]\n{SEND}', ["29"], ""),
    "percent of a tuple": (
        f't = (1, "x")\nm = [{{"role": "user", "content": "%s %s" % t}}]\n{SEND}',
        ["1 x"],
        "",
    ),
    "JSON of a known value": (
        f'd = {{"a": [1, None]}}\nm = [{{"role": "user", "content": json.dumps(d)}}]\n{SEND}',
        ['{"a": [1, null]}'],
        "",
    ),
    "JSON of an unknown value": (
        f'd = {{"a": q}}\nm = [{{"role": "user", "content": json.dumps(d)}}]\n{SEND}',
        ["{{json_dumps_d}}"],
        "json.dumps(d)",
    ),
    "read in a generator": (
        f'm = [{S}]\nn = sum(len(x["content"]) for x in m)\nfor x in m:\n    print(x["content"])\n{SEND}',
        ["S"],
        "",
    ),
    "updated by keywords": (
        f"k = {{'messages': [{S}]}}\nk['messages'].append({U})\nk.update(seed=1)\nc.chat.completions.create(**k)",
        ["S", "U"],
        "",
    ),
    "text in the form of a variable": (
        f'm = [{{"role": "user", "content": "{{{{name}}}}"}}]\n{SEND}',
        ["{{name}}"],
        "The text {{name}} in the program is a variable of the prompt.",
    ),
    "wrapper before the call": (
        f"f = c.chat.completions.create\ng = lambda **k: f(**k, seed=1)\nm = [{U}]\n{SEND}",
        ["U"],
        "The call in line 5 was imported. 1 other call (line 3)",
    ),
    "list of an object": (
        f"class A:\n    def __init__(self):\n        self.m = [{S}]\n    def ask(self, q):\n"
        f"        self.m.append({Q})\n        c.chat.completions.create(messages=self.m)",
        ["S", "{{q}}"],
        "What line 6 adds to self.m was left out",
    ),
    "package whose call is replaced": (
        f"openai.chat.completions.create = f\nopenai.chat.completions.create(messages=[{U}])",
        ["U"],
        "The client is changed in line 2",
    ),
    "call of another package": (
        f'sms.messages.create(body="x")\nm = [{U}]\n{SEND}',
        ["U"],
        "The call in line 4 was imported. 1 other call (line 2)",
    ),
    "own exit": (f"def exit():\n    pass\nexit()\nm = [{U}]\n{SEND}", ["U"], ""),
    "either client": (f"c = openai.OpenAI() if x else openai.AzureOpenAI()\nm = [{U}]\n{SEND}", ["U"], ""),
    "other names of other names": (
        f"ch: Chat = c.chat\ncc = ch.completions\ncc.create(messages=[{S}])\nm = [{U}]\n{SEND}",
        ["S"],
        "The call in line 4 was imported. 1 other call (line 6)",
    ),
    "other name that is not followed": (
        f"x, cc = 1, c.chat.completions\ncc.create(messages=[{S}])\nm = [{U}]\n{SEND}",
        ["U"],
        "The client is passed on in line 2",
    ),
    "lists of objects of two classes": (
        f"class A:\n    def __init__(self):\n        self.m = [{S}]\n    def ask(self):\n"
        f"        c.chat.completions.create(messages=self.m)\nclass B:\n    def f(self):\n        self.m = [{U}]",
        ["S"],
        "",
    ),
    "function that returns messages": (
        f'def build(q, r="R"):\n    """Docs."""\n    return [{S}, {Q}, {Q.replace("q}", "r}")}]\n'
        'c.chat.completions.create(messages=build("Q"))',
        ["S", "Q", "R"],
        "",
    ),
    "function that calls itself": (
        f"def f(x):\n    return f(x)\nq = f(1)\nm = [{Q}]\n{SEND}",
        ["{{q}}"],
        "line 4 sets it to f(x)",
    ),
    "function that is defined twice": (
        f'def f():\n    return "A"\nif x:\n    def f():\n        return "B"\nq = f()\nm = [{Q}]\n{SEND}',
        ["{{q}}"],
        "line 7 sets it to f()",
    ),
    "conversion with a precision": (
        f'v = 1234.5678\nq = f"{{v!s:.4}} {{v:.1f}}"\nm = [{Q}]\n{SEND}',
        ["1234 1234.6"],
        "",
    ),
    "create of the package's class replaced": (
        f"from openai.resources.chat.completions import Completions\nCompletions.create = f\nm = [{S}]\n{SEND}",
        ["S"],
        "create is replaced in line 3, which may change the request.",
    ),
    "changed by a function between two uses": (
        'def f(x):\n    return x.next()\ndef g(d):\n    t = f"{d} {f(d)} {d}"\n'
        f'    m = [{{"role": "user", "content": t}}]\n    {SEND}',
        ["{{d}} {{x_next}} {{d_2}}"],
        "{{d_2}}",
    ),
}


@pytest.mark.parametrize("case", PYTHON)
def test_open_any_python_program_gives_what_it_sends_or_names_the_rest(case: str) -> None:
    code, contents, note = PYTHON[case]
    found, notes = imported(code)
    assert found == contents
    assert note in notes
    assert note or not notes


REFUSED_PYTHON = {
    "method that sets every property": (
        f"class A:\n    def __init__(self):\n        self.m = [{S}]\n    def __setattr__(self, n, v): ...\n"
        "    def ask(self):\n        c.chat.completions.create(messages=self.m)",
        "self.m is unknown",
    ),
    "name set in an annotation": (f"m = [{S}]\nx: (m := [{U}])\n{SEND}", "line 3: code in an annotation"),
    "list changed in an annotation": (
        f"m = [{S}]\ndef f(a: m.append({U})): ...\n{SEND}",
        "line 3: code in an annotation",
    ),
    "changed by a function in a function": (
        f"m = [{S}]\ndef f(x):\n    def g():\n        x.append({U})\n    g()\nf(m)\n{SEND}",
        "line 7 changes m",
    ),
    "method of another class": (
        f"m = [{S}]\nclass A:\n    def get(self, x):\n        x.append({U})\nA().get(m)\n{SEND}",
        "line 6 changes m",
    ),
    "function as an argument": (
        f"m = [{S}]\nprint(max(m, key=lambda x: x.update(content='T')))\n{SEND}",
        "line 3 changes m",
    ),
    "unlike list": (
        f"class H(list):\n    def append(self, x):\n        pass\nm = H()\nm.append({U})\n{SEND}",
        "line 6 sets it",
    ),
    "other name of an unknown list": (
        f"m = f()\nh = m\nh.append({U})\nm[0]['content'] = 'T'\nc.chat.completions.create(messages=h)",
        "line 5 changes m",
    ),
    "empty": ("c.chat.completions.create(messages=[])", "the list is empty (the call in line 2)"),
    "loop variable in a function": (
        f"m = [{S}]\nfor x in m:\n    f = lambda: x.update(content='T')\n    f()\n{SEND}",
        "line 3 changes m",
    ),
    "setattr": (f"m = [{S}]\nsetattr(x, 'm', [])\n{SEND}", "line 3: setattr may change any value"),
    "passed to a function": (f"m = [{S}]\ntrim(m)\n{SEND}", "line 3 changes m"),
    "passed to a function that changes it": (f"def f(x):\n    x.pop()\nm = [{S}]\nf(m)\n{SEND}", "line 5 changes m"),
    "shuffled": (f"m = [{S}, {U}]\nrandom.shuffle(m)\n{SEND}", "line 3 changes m"),
    "items changed in a loop": (f'm = [{S}]\nfor x in m:\n    x["content"] = "T"\n{SEND}', "line 3 changes m"),
    "popped by a function": (f"m = [{S}]\ndef f():\n    m.pop()\nf()\n{SEND}", "line 4 changes m"),
    "stored elsewhere": (f"m = [{S}]\nself.m = m\nself.m.append({U})\n{SEND}", "line 3 changes m"),
    "part replaced": (f"m = [{S}, {U}]\nm[0:1] = []\n{SEND}", "line 3 changes m"),
    "replaced by a function": (f"m = [{S}]\nm = trim(m)\n{SEND}", "line 3 sets it"),
    "keywords changed in a branch": (
        f'k = dict(messages=[{S}])\nif x:\n    k["a"] = 1\nc.chat.completions.create(**k)',
        "line 4 changes k",
    ),
    "attribute": ("c.chat.completions.create(messages=self.m)", "self.m"),
    "method not called": (f"m = [{S}]\nadd = m.append\nadd({U})\n{SEND}", "line 3 changes m"),
    "unbound method": (f"m = [{S}]\nlist.append(m, {U})\n{SEND}", "line 3 changes m"),
    "default argument": (f"m = [{S}]\ndef r(m=m):\n    m.append({U})\nr()\n{SEND}", "line 3 changes m"),
    "comprehension": (f"m = [{S}]\nn = [m for _ in x]\nn[0].append({U})\n{SEND}", "line 3 changes m"),
    "and": (f"m = [{S}]\nk = x and m\nk.append({U})\n{SEND}", "line 3 changes m"),
    "named in an expression": (f"m = [{S}]\n(q := m).append({U})\n{SEND}", "line 3 changes m"),
    "result of next": (f"m = [{S}]\nn = next(iter([m]))\nn.append({U})\n{SEND}", "line 3 changes m"),
    "returned": (f"m = [{S}]\ndef get():\n    return m\nget().append({U})\n{SEND}", "line 4 changes m"),
    "matched": (f"m = [{S}]\nmatch m:\n    case n:\n        n.append({U})\n{SEND}", "line 3 changes m"),
    "appended in an argument": (
        f"m = [{S}]\nc.chat.completions.create(messages=m, n=len(m.append({U}) or m))",
        "line 3 changes m",
    ),
    "loop variable used later": (f'm = [{S}]\nfor x in m:\n    pass\nx["content"] = "T"\n{SEND}', "line 3 changes m"),
    "exec": (f"m = [{S}]\nexec(x)\n{SEND}", "line 3: exec may change any value"),
    "globals": (f"m = [{S}]\nglobals()['m'] = []\n{SEND}", "line 3: globals may change any value"),
    "main module": (f"import __main__\nm = [{S}]\n__main__.m = []\n{SEND}", "line 2: __main__ may change any value"),
    "modules": (f"m = [{S}]\nsys.modules[__name__].m = []\n{SEND}", "line 3: sys.modules may change"),
    "text of a size that doubles": ('a = "xx"\n' + 'a = f"{a}{a}"\n' * 50 + SEND, "a text has more than 500,000"),
    "statements": ("x = 1\n" * 20_001 + SEND, "more than 60,000 parts"),
    "end of the program": (f"m = [{U}]\nraise SystemExit(0)\n{SEND}", "line 3 ends the program"),
    "exit": (f"m = [{U}]\nexit()\n{SEND}", "line 3 ends the program"),
    "endless loop": (f"m = [{U}]\nwhile True:\n    f()\n{SEND}", "line 3 ends the program"),
    "function of other names": (f"m = [{U}]\ntypes.FunctionType(f.__code__, {{}})()\n{SEND}", "line 3: FunctionType"),
    "comparison that changes": (
        f"class A:\n    def __eq__(self, o):\n        o['content'] = 'T'\nm = [{U}]\nm.count(A())\n{SEND}",
        "line 3: __eq__ may change",
    ),
    "list with sums of its own": (
        f"class L(list):\n    def __iadd__(self, o):\n        return self\nm = L()\nm += [{U}]\n{SEND}",
        "line 6 adds to it",
    ),
    "list extended by itself": (f"m = [{U}]\n" + "m.extend(m)\n" * 40 + SEND, "too large to be evaluated"),
    "copies of nested lists": (
        "import copy\nd = ['x']\n" + "d = [d, d]\n" * 40 + f"m = copy.deepcopy(d)\n{SEND}",
        "too large to be evaluated",
    ),
    "signs": ("x = " + "-" * 20_000 + f"1\n{SEND}", "nested too deeply"),
    "lambdas": ("x = " + "lambda: " * 2_000 + f"1\n{SEND}", "nested too deeply"),
    "list of an object that other code changes": (
        f"class A:\n    def __init__(self):\n        self.m = [{S}]\n    def ask(self):\n"
        "        c.chat.completions.create(messages=self.m)\na = A()\na.m.pop()",
        "self.m is unknown",
    ),
    "list of an object that a method replaces": (
        f"class A:\n    def __init__(self):\n        self.m = [{S}]\n    def ask(self):\n"
        f"        c.chat.completions.create(messages=self.m)\n    def b(self):\n        self.m = [{U}]",
        "line 8 sets it",
    ),
    "list of an object that is not set in any case": (
        f"class A:\n    def __init__(self):\n        if x:\n            return\n        self.m = [{S}]\n"
        "    def ask(self):\n        c.chat.completions.create(messages=self.m)",
        "self.m is unknown",
    ),
    "list of an object of another class": (
        f"class A(B):\n    def __init__(self):\n        self.m = [{S}]\n    def ask(self):\n"
        "        c.chat.completions.create(messages=self.m)",
        "self.m is unknown",
    ),
    "list of an object that a lambda changes": (
        f"class A:\n    def __init__(self):\n        self.m = [{S}]\n        self.f = lambda: self.m.pop()\n"
        "    def ask(self):\n        c.chat.completions.create(messages=self.m)",
        "line 5 changes self.m",
    ),
    "list of an object of a subclass": (
        f"class A:\n    def __init__(self):\n        self.m = [{S}]\n    def ask(self):\n"
        f"        c.chat.completions.create(messages=self.m)\nclass B(A):\n    def f(self):\n        self.m = [{U}]",
        "self.m is unknown",
    ),
}


@pytest.mark.parametrize("case", REFUSED_PYTHON)
def test_open_any_python_list_changed_by_code_not_followed_is_refused_with_the_line(case: str) -> None:
    code, reason = REFUSED_PYTHON[case]
    with pytest.raises(InputError) as refused:
        imported(code)
    assert reason in str(refused.value)


def test_open_any_python_argument_that_is_not_known_is_named_and_left_out() -> None:
    code = f"c.chat.completions.create(messages=[{U}], temperature=t, tools=[f()], stop=None, **more)"
    opened = open_any(code)
    assert opened.document.parameters == {"stop": None}
    assert opened.document.tools == ()
    assert [note.split(" was")[0] for note in opened.notes] == ["temperature", "tools", "**more"]


def test_open_any_python_item_set_in_keywords_is_sent() -> None:
    code = f'k = {{"messages": [{U}], "temperature": 0.9}}\nk["temperature"] = 0.1\nc.chat.completions.create(**k)'
    assert open_any(code).document.parameters == {"temperature": 0.1}


JAVASCRIPT: dict[str, tuple[str, list[str], str]] = {
    "push": (f"const m = [{S}];\nm.push({U});\n{JS_SEND}", ["S", "U"], ""),
    "push without semicolons": (f"const m = [{S}]\nconst x = 1\nm.push({U})\n{JS_SEND}", ["S", "U"], ""),
    "typed": (f"const m: Array<Message>[] = [{S} as const];\nm.push({U} satisfies M);\n{JS_SEND}", ["S", "U"], ""),
    "spread": (f"const h = [{S}];\nconst m = [...h, {U}];\n{JS_SEND}", ["S", "U"], ""),
    "unknown spread": (f"const m = [{S}, ...h];\n{JS_SEND}", ["S"], "*h was left out"),
    "concat": (f"const m = [{S}].concat([{U}]);\n{JS_SEND}", ["S", "U"], ""),
    "set again": (f'let q = "old";\nq = "new";\nconst m = [{Q}];\n{JS_SEND}\nq = "later";', ["new"], ""),
    "added text": (f'let q = "A";\nq += "B";\nconst m = [{Q}];\n{JS_SEND}', ["AB"], ""),
    "set in a branch": (f'let q = "A";\nif (x) {{ q = "B"; }}\nconst m = [{Q}];\n{JS_SEND}', ["{{q}}"], "line 3"),
    "set by &&": (f'let q = "A";\nx && (q = "B");\nconst m = [{Q}];\n{JS_SEND}', ["{{q}}"], "line 3"),
    "set by destructuring": (f'let q = "A";\n[q, x] = [x, q];\nconst m = [{Q}];\n{JS_SEND}', ["{{q}}"], "line 3"),
    "set by a function": (f'let q = "A";\nf(() => {{ q = "B"; }});\nconst m = [{Q}];\n{JS_SEND}', ["{{q}}"], "line 3"),
    "push in a branch": (f"const m = [{S}];\nif (x) m.push({U});\n{JS_SEND}", ["S"], "What line 3 adds to m"),
    "push in a loop": (
        f"const m = [{S}];\nfor (const q of qs) {{\n  m.push({Q});\n  {JS_SEND}\n  m.push(r);\n}}",
        ["S", "{{q}}"],
        "What line 6 adds to m",
    ),
    "push by a function": (
        f"const m = [{S}];\nasync function ask(q) {{\n  m.push({Q});\n  {JS_SEND}\n  m.push(r);\n}}",
        ["S", "{{q}}"],
        "What line 6 adds to m",
    ),
    "local before global": (
        f'const q = "G";\nfunction a() {{ const q = "L"; const m = [{Q}]; {JS_SEND} }}\n'
        'function b() { const q = "O"; }',
        ["L"],
        "",
    ),
    "parameter": (f'const q = "G";\nasync function a(q) {{ const m = [{Q}]; {JS_SEND} }}', ["{{q}}"], "{{q}}"),
    "arrow parameter": (
        f'const q = "G";\nconst a = (q) => c.chat.completions.create({{messages: [{Q}]}});',
        ["{{q}}"],
        "{{q}}",
    ),
    "argument of map": (
        f'const q = "G";\nx.map(q => c.chat.completions.create({{messages: [{Q}]}}));',
        ["{{q}}"],
        "{{q}}",
    ),
    "parts of a request": (f"const {{ q }} = req.body;\nconst m = [{Q}];\n{JS_SEND}", ["{{q}}"], "{{q}}"),
    "template": (
        'const n = "N";\nconst m = [{role: "user", content: `${n} ${u.x}`}];\n' + JS_SEND,
        ["N {{u_x}}"],
        "u.x",
    ),
    "conditional": (
        f'const m = [{{role: "user", content: x ? "a" : "b"}}];\n{JS_SEND}',
        ["{{x_a_b}}"],
        'x ? "a" : "b"',
    ),
    "joined": (f'const m = [{{role: "user", content: ["a", "b"].join("\\n")}}];\n{JS_SEND}', ["a\nb"], ""),
    "call in comments and texts": (
        f"/* {JS_SEND} */\n// {JS_SEND}\nconst s = '{JS_SEND}', r = /[\"'`]/;\nconst m = [{U}];\n{JS_SEND}",
        ["U"],
        "",
    ),
    "two calls": (f"const m = [{U}];\n{JS_SEND}\n{JS_SEND}", ["U"], "line 3 was imported. 1 other call (line 4)"),
    "set to itself with more": (f'let q = "A";\nq = q + "B";\nconst m = [{Q}];\n{JS_SEND}', ["AB"], ""),
    "counted": (f"let q = 1;\nq++;\nconst m = [{Q}];\n{JS_SEND}", ["{{q}}"], "line 3 sets it"),
    "multiplied": (f"let q = 2;\nq **= 2;\nconst m = [{Q}];\n{JS_SEND}", ["{{q}}"], "line 3 sets it"),
    "set by a loop": (f'let q = "A";\nfor (q of ["x"]);\nconst m = [{Q}];\n{JS_SEND}', ["{{q}}"], "line 3 sets it"),
    "message changed in the list": (
        f'const x = {U};\nconst m = [{S}, x];\nx.content = "T";\n{JS_SEND}',
        ["S", "T"],
        "",
    ),
    "list that is read": (
        f"const m = [{S}];\nconsole.log(m, m.length, m[0].content);\nif (m.length > 3) stop();\n{JS_SEND}",
        ["S"],
        "",
    ),
    "item of a copy": (f'const m = [{S}];\nconst n = [...m]; n[0].content = "T";\n{JS_SEND}', ["T"], ""),
    "conditional, known": (f"const m = [{S}];\nconst n = true ? m : []; n.push({U});\n{JS_SEND}", ["S", "U"], ""),
    "in an object": (f"const m = [{S}];\nconst o = {{m}}; o.m.push({U});\n{JS_SEND}", ["S", "U"], ""),
    "in a list": (f"const m = [{S}];\nconst o = [m]; o[0].push({U});\n{JS_SEND}", ["S", "U"], ""),
    "optional push": (f"const m = [{S}];\nm?.push({U});\n{JS_SEND}", ["S", "U"], ""),
    "asserted": (f"const m = [{S}];\nconst n = m!; n.push({U});\n{JS_SEND}", ["S", "U"], ""),
    "other name of the list": (f"const m = [{S}];\nconst h = m;\nh.push({U});\n{JS_SEND}", ["S", "U"], ""),
    "unshift": (f"const m = [{U}];\nm.unshift({S});\n{JS_SEND}", ["S", "U"], ""),
    "item set": (f'const m = [{U}];\nm[0].content = "T";\n{JS_SEND}', ["T"], ""),
    "or": (f"const m = [{S}];\nconst n = m || []; n.push({U});\n{JS_SEND}", ["S", "U"], ""),
    "options changed": (
        f"const o = {{messages: [{U}]}};\no.temperature = 0.1;\nawait c.chat.completions.create(o);",
        ["U"],
        "",
    ),
    "concat of more": (f"const m = [{S}].concat([{U}], [{U}]);\n{JS_SEND}", ["S", "U", "U"], ""),
    "map": (f'const m = ["a", "b"].map((x) => ({{ role: "user", content: x }}));\n{JS_SEND}', ["a", "b"], ""),
    "shorthand": (f'const role = "user", content = "U";\nconst m = [{{ role, content }}];\n{JS_SEND}', ["U"], ""),
    "options and more": (
        f"const o = {{messages: [{U}], ...more}};\nc.chat.completions.create(o)",
        ["U"],
        "...more was left out",
    ),
    "block with a name of its own": (f'const q = "A";\n{{ const q = "B"; }}\nconst m = [{Q}];\n{JS_SEND}', ["A"], ""),
    "code that is not understood": (
        f'let q = "A";\nconst x = <p title={{q}}>don\'t</p>;\nconst m = [{Q}];\n{JS_SEND}',
        ["{{q}}"],
        "line 3 sets it",
    ),
    "class with types": (
        f'abstract class A<T> extends B {{\n  private readonly n: string = "N";\n'
        f"  async ask(q: string): Promise<T> {{\n"
        f"    const m: Message[] = [{S}, {Q}];\n    return {JS_SEND}\n  }}\n}}",
        ["S", "{{q}}"],
        "{{q}}",
    ),
    "set by a field of a class": (
        f'let q = "A";\nclass B {{ static x = (q = "B"); static {{ q = "C"; }} }}\nconst m = [{Q}];\n{JS_SEND}',
        ["{{q}}"],
        "line 3 sets it",
    ),
    "set in a case": (
        f'let q = "A";\nswitch (x) {{ case 1: q = "B"; }}\nconst m = [{Q}];\n{JS_SEND}',
        ["{{q}}"],
        "line 3 sets it",
    ),
    "call on lines of its own": (f"c.chat.completions\n  .create({{messages: [{U}]}})\n  .then(f)", ["U"], ""),
    "trim": ('const m = [{role: "user", content: "\\ufeff\\x1f U\\u2003".trim()}];\n' + JS_SEND, ["\x1f U"], ""),
    "set by a default value": (
        f'let q = "A";\nconst f = (x = (q = "D")) => x;\nq = "B";\nf();\nconst m = [{Q}];\n{JS_SEND}',
        ["{{q}}"],
        "line 3 sets it",
    ),
    "counted on a line of its own": (f'let q = "1"\nlet x = q\n++x\nconst m = [{Q}];\n{JS_SEND}', ["1"], ""),
    "export of a handler": (
        f"export default {{\n  async fetch(q, env) {{\n    const m = [{S}, {Q}];\n    {JS_SEND}\n  }},\n}};",
        ["S", "{{q}}"],
        "{{q}}",
    ),
    "typed arrow function": (
        f"export const ask = async (q: string): Promise<void> => {{ const m: M[] = [{S}, {Q}]; {JS_SEND} }};",
        ["S", "{{q}}"],
        "{{q}}",
    ),
    "undefined": ("c.chat.completions.create({messages: [" + U + "], stop: undefined})", ["U"], "stop was left out"),
    "numbers in a template": (
        'const n = 1.0, x = 0.5;\nconst m = [{role: "user", content: `${n} ${x}`}];\n' + JS_SEND,
        ["1 {{x}}"],
        "{{x}}",
    ),
    "two calls of a function": (
        'const m = [{role: "user", content: `${Math.random()} ${Math.random()}`}];\n' + JS_SEND,
        ["{{Math_random}} {{Math_random_2}}"],
        "{{Math_random_2}}",
    ),
    "line ends of Windows": ('const m = [{role: "user", content: `a\r\nb`}];\r\n' + JS_SEND, ["a\nb"], ""),
    "octal": (r'const m = [{role: "user", content: "\101\08\1z"}];' + f"\n{JS_SEND}", ["A\x008\x01z"], ""),
    "halves of a character": (
        r'const m = [{role: "user", content: "\ud83d" + "\ude00"}];' + f"\n{JS_SEND}",
        ["\U0001f600"],
        "",
    ),
    "line separator": (f'const m = [{U}];\n// x\u2028m[0].content = "T";\n{JS_SEND}', ["T"], ""),
    "expression in a template": (
        'const m = [{role: "user", content: `${ /}`/.source }`}];\n' + JS_SEND,
        ["{{source}}"],
        "/}`/.source",
    ),
    "other names of the client": (
        f"const {{ chat: {{ completions }} }} = c, f = c.chat.completions.create;\n"
        f"completions.create({{messages: [{S}]}});\nf({{messages: [{U}]}});\n"
        f'c["chat"].completions["create"]({{messages: [{U}]}});',
        ["S"],
        "The call in line 3 was imported. 2 other calls (lines 4, 5)",
    ),
    "known client": (f'import OpenAI from "openai";\nconst c = new OpenAI();\nconst m = [{U}];\n{JS_SEND}', ["U"], ""),
    "required client": (
        f'const {{ OpenAI }} = require("openai");\nconst c = new OpenAI();\nconst m = [{U}];\n{JS_SEND}',
        ["U"],
        "",
    ),
    "client of a subclass": (
        f"class My extends OpenAI {{}}\nconst c = new My();\nconst m = [{U}];\n{JS_SEND}",
        ["U"],
        "The client is made by My in line 3",
    ),
    "create that is replaced": (
        f"Object.assign(c.chat.completions, {{create: (b) => f(b)}});\nconst m = [{U}];\n{JS_SEND}",
        ["U"],
        "The client is passed on in line 2",
    ),
    "list of an object": (
        f"class A {{\n  constructor() {{ this.m = [{S}]; }}\n  async ask(q) {{\n    this.m.push({Q});\n"
        "    await c.chat.completions.create({messages: this.m});\n  }\n}",
        ["S", "{{q}}"],
        "What line 5 adds to this.m was left out",
    ),
    "text of an object that a method changes": (
        'class A {\n  constructor() { this.t = "T"; this.u = "U"; [this.u] = f(); }\n  b() { this.t += "B"; }\n'
        '  ask() {\n    const m = [{role: "user", content: `${this.t} ${this.u}`}];\n' + JS_SEND + "\n  }\n}",
        ["{{this_t}} {{this_u}}"],
        "line 4 sets it",
    ),
    "other name that is set later": (
        f"let cc; cc = c.chat.completions;\ncc.create({{messages: [{S}]}});\nconst m = [{U}];\n{JS_SEND}",
        ["S"],
        "The call in line 3 was imported. 1 other call (line 5)",
    ),
    "function that returns messages": (
        f"const build = (q) => [{S}, {Q}];\nfunction more() {{ return [{U}]; }}\n"
        'c.chat.completions.create({messages: [...build("Q"), ...more()]});',
        ["S", "Q", "U"],
        "",
    ),
    "field of a subclass": (
        'class A {\n  constructor() { this.s = "S"; }\n'
        '  run() { return c.chat.completions.create({messages: [{role: "system", content: this.s}]}); }\n}\n'
        'class B extends A {\n  s = "T";\n}\nnew B().run();',
        ["{{this_s}}"],
        "this_s",
    ),
    "asynchronous function": (
        f"const f = async (x) => x;\nconst q = f('Q');\nconst m = [{Q}];\n{JS_SEND}",
        ["{{q}}"],
        "line 3 sets it to f('Q')",
    ),
}


@pytest.mark.parametrize("case", JAVASCRIPT)
def test_open_any_javascript_program_gives_what_it_sends_or_names_the_rest(case: str) -> None:
    code, contents, note = JAVASCRIPT[case]
    found, notes = imported(code)
    assert found == contents
    assert note in notes
    assert note or not notes


REFUSED_JAVASCRIPT = {
    "long comparison": (f"const m = [{S}];\nconst x = " + "a < " * 10_000 + f"1;\n{JS_SEND}", "nested too deeply"),
    "set method": (
        f"const m = [{S}];\nconst o = {{ set x(v) {{ v.push({U}); }} }};\no.x = m;\n{JS_SEND}",
        "line 4 stores it",
    ),
    "tagged template": (f"const m = [{S}];\nconst x = f`${{m}}`;\n{JS_SEND}", "line 3 changes m"),
    "own log": (f"const m = [{S}];\nconst L = {{log: (x) => x.push({U})}};\nL.log(m);\n{JS_SEND}", "line 4"),
    "function as an argument": (
        f"const m = [{S}];\nJSON.stringify(m, (k, v) => {{ v.content = 'T'; }});\n{JS_SEND}",
        "line 3 changes m",
    ),
    "arguments": (
        f"const m = [{S}];\nfunction f() {{ arguments[0].push({U}); }}\nf(m);\n{JS_SEND}",
        "line 4 changes m",
    ),
    "length": (f"const m = [{S}];\nm.length = 0;\n{JS_SEND}", "line 3 changes m"),
    "prototype": (f"const m = [{S}];\nArray.prototype.push = f;\n{JS_SEND}", "line 3: prototype may change any value"),
    "global object": (f"var m = [{S}];\nglobalThis.m = [];\n{JS_SEND}", "line 3: globalThis may change any value"),
    "call in code not understood": (f"const m = [{S}];\nconst x = <p>{{ {JS_SEND} }}</p>", "line 3"),
    "loop over the list": (f'const m = [{S}];\nfor (const x of m) x.content = "T";\n{JS_SEND}', "line 3 changes m"),
    "forEach": (f'const m = [{S}];\nm.forEach(x => x.content += "T");\n{JS_SEND}', "line 3 changes m"),
    "item by at": (f'const m = [{S}];\nconst x = m.at(-1); x.content = "T";\n{JS_SEND}', "line 3 changes m"),
    "item by index": (f'const m = [{S}];\nconst x = m[m.length - 1]; x.content = "T";\n{JS_SEND}', "line 3 changes m"),
    "item by destructuring": (f'const m = [{S}];\nconst {{0: x}} = m; x.content = "T";\n{JS_SEND}', "line 3 changes m"),
    "computed push": (f'const m = [{S}];\nm["push"]({U});\n{JS_SEND}', "line 3 changes m"),
    "comma": (f"const m = [{S}];\nconst n = (0, m); n.push({U});\n{JS_SEND}", "line 3 changes m"),
    "returned": (f"const m = [{S}];\nconst get = () => m; get().push({U});\n{JS_SEND}", "line 3 changes m"),
    "eval": (f"const m = [{S}];\neval(x);\n{JS_SEND}", "line 3: eval may change any value"),
    "passed to a function": (f"const m = [{S}];\ntrim(m);\n{JS_SEND}", "line 3 changes m"),
    "passed in an object": (f"const m = [{S}];\nsave({{ m }});\n{JS_SEND}", "line 3 changes m"),
    "end of the program": (f"const m = [{S}];\nprocess.exit(0);\n{JS_SEND}", "line 3 ends the program"),
    "thrown": (f'const m = [{S}];\nthrow new Error("x");\n{JS_SEND}', "line 3 ends the program"),
    "text added to a list": (f"let m = [{S}];\nm += [{U}];\n{JS_SEND}", "line 3 adds to it"),
}


@pytest.mark.parametrize("case", REFUSED_JAVASCRIPT)
def test_open_any_javascript_list_changed_by_code_not_followed_is_refused_with_the_line(case: str) -> None:
    code, reason = REFUSED_JAVASCRIPT[case]
    with pytest.raises(InputError) as refused:
        imported(code)
    assert reason in str(refused.value)


def test_open_any_javascript_numbers_and_options_are_read() -> None:
    code = (
        f"await c.chat.completions.create({{messages: [{U}], temperature: .5, seed: 0x10, max_tokens: 1_000, n: f(x)}})"
    )
    opened = open_any(code)
    assert opened.document.parameters == {"temperature": 0.5, "seed": 16, "max_tokens": 1000}
    assert [note.split(" was")[0] for note in opened.notes] == ["n"]


def test_open_any_octal_escapes_of_the_shell_are_read() -> None:
    code = """curl https://a.example/v1/chat/completions -d $'{"messages":[{"role":"user","content":"\\101\\x42"}]}'"""
    assert [message.content for message in open_any(code).document.messages] == ["AB"]


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
    "form": (f"curl https://a.example -F a=b -d '{SHELL_BODY}'", "-F: gives the request another body"),
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
    "axios": f'const r = await axios.post("https://a.example/chat/completions", {{messages: [{S}]}}, {{headers}});',
}


@pytest.mark.parametrize("case", POSTED)
def test_open_any_request_without_an_sdk_gives_its_json(case: str) -> None:
    assert import_kind(POSTED[case]) == "request in a program"
    assert [message.content for message in open_any(POSTED[case]).document.messages] == ["S"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ('requests.post("https://a.example/login", json={})  # /chat/completions', "line 1: the address"),
        ('requests.post("https://a.example/chat/completions", json=body)', "line 1: the JSON of the request"),
        ('fetch("https://a.example/chat/completions", options);', "line 1: the JSON of the request"),
    ],
)
def test_open_any_request_that_is_not_known_is_refused_with_the_line(code: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        open_any(code)
