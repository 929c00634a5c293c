"""Client libraries through the Recorder, unchanged, against the simulator: whole, streamed, and with a tool call.

Run `python -m tests.benchmarks.bench_recorder_sdks [--folder DIR]`. Installs openai, langchain-openai and pipecat-ai in
a virtual environment, and openai and the AI SDK with npm if there is one, below DIR (a temporary folder by default; an
existing installation is used again). Each case runs directly and through the Recorder; the results must be equal.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playground.child_process import ServerProcess
from playground.requestlog.filter import EVERYTHING
from playground.requestlog.log import RequestLog
from playground.simulator.process import SimulatorProcess

PYTHON_PACKAGES = ("openai", "langchain-openai", "pipecat-ai")
NODE_PACKAGES = ("openai", "ai", "@ai-sdk/openai-compatible", "zod")

PYTHON = r"""
import asyncio, json, sys
BASE, KEY = sys.argv[1], "sk_test_0123456789"
MESSAGES = [{"role": "user", "content": "What is the weather in Berlin?"}]
FUNCTION = {"name": "get_weather", "description": "Return the weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
TOOLS = [{"type": "function", "function": FUNCTION}]


def show(library, case, value):
    print(json.dumps({"library": library, "case": case, "value": value}), flush=True)


def openai_python():
    from openai import OpenAI
    client = OpenAI(base_url=BASE, api_key=KEY, max_retries=0)
    ask = lambda **more: client.chat.completions.create(model="electron", messages=MESSAGES, seed=1, **more)
    show("openai-python", "whole", ask().choices[0].message.content)
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    show("openai-python", "stream", [text, chunks[-1].usage.prompt_tokens])
    call = ask(tools=TOOLS, tool_choice="required").choices[0].message.tool_calls[0]
    show("openai-python", "tool call", [call.function.name, call.function.arguments])


def langchain():
    from langchain_openai import ChatOpenAI
    model = ChatOpenAI(base_url=BASE, api_key=KEY, model="electron", seed=1, max_retries=0)
    asked = [("user", MESSAGES[0]["content"])]
    show("LangChain", "whole", model.invoke(asked).content)
    show("LangChain", "stream", "".join(chunk.content for chunk in model.stream(asked)))
    calls = model.bind_tools(TOOLS, tool_choice="required").invoke(asked).tool_calls
    show("LangChain", "tool call", [[call["name"], call["args"]] for call in calls])


async def pipecat():
    from loguru import logger
    logger.remove()
    from pipecat.adapters.schemas.function_schema import FunctionSchema
    from pipecat.adapters.schemas.tools_schema import ToolsSchema
    from pipecat.frames.frames import FunctionCallResultFrame, LLMFullResponseEndFrame, LLMTextFrame
    from pipecat.processors.aggregators.llm_context import LLMContext
    from pipecat.services.smallest.llm import SmallestLLMService
    from pipecat.tests.utils import run_test
    from pipecat.frames.frames import LLMContextFrame

    service = lambda: SmallestLLMService(api_key=KEY, base_url=BASE)
    show("pipecat", "whole", await service().run_inference(LLMContext(messages=list(MESSAGES))))
    down, _ = await run_test(service(), frames_to_send=[LLMContextFrame(LLMContext(messages=list(MESSAGES)))])
    show("pipecat", "stream", "".join(frame.text for frame in down if isinstance(frame, LLMTextFrame)))
    called, llm, done = [], service(), asyncio.Event()

    async def get_weather(params):
        called.append([params.function_name, params.arguments])
        await params.result_callback({"weather": "sunny"})
        done.set()

    llm.register_function("get_weather", get_weather)
    schema = FunctionSchema("get_weather", FUNCTION["description"], FUNCTION["parameters"]["properties"], ["city"])
    context = LLMContext(messages=list(MESSAGES), tools=ToolsSchema(standard_tools=[schema]))
    from pipecat.tests.utils import SleepFrame
    await run_test(llm, frames_to_send=[LLMContextFrame(context), SleepFrame(3.0)])
    show("pipecat", "tool call", called)


LIBRARIES = {"openai-python": openai_python, "LangChain": langchain, "pipecat": lambda: asyncio.run(pipecat())}
for name, work in LIBRARIES.items():
    try:
        work()
    except BaseException as error:
        show(name, "error", f"{type(error).__name__}: {error}"[:300])
"""

NODE = r"""
import OpenAI from "openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText, tool } from "ai";
import { z } from "zod";

const base = process.argv[2], key = "sk_test_0123456789";
const question = "What is the weather in Berlin?";
const messages = [{ role: "user", content: question }];
const show = (library, name, value) => console.log(JSON.stringify({ library, case: name, value }));
const guarded = async (library, work) => {
  try { await work(); } catch (error) { show(library, "error", String(error).slice(0, 300)); }
};

await guarded("openai-node", async () => {
  const client = new OpenAI({ baseURL: base, apiKey: key, maxRetries: 0 });
  const ask = (more) => client.chat.completions.create({ model: "electron", messages, seed: 1, ...more });
  show("openai-node", "whole", (await ask({})).choices[0].message.content);
  let text = "";
  for await (const chunk of await ask({ stream: true })) text += chunk.choices[0]?.delta?.content ?? "";
  show("openai-node", "stream", text);
  const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
  const weather = { name: "get_weather", description: "Return the weather", parameters };
  const tools = [{ type: "function", function: weather }];
  const call = (await ask({ tools, tool_choice: "required" })).choices[0].message.tool_calls[0];
  show("openai-node", "tool call", [call.function.name, call.function.arguments]);
});

await guarded("AI SDK", async () => {
  const model = createOpenAICompatible({ name: "electron", baseURL: base, apiKey: key }).chatModel("electron");
  show("AI SDK", "whole", (await generateText({ model, prompt: question, maxRetries: 0 })).text);
  let text = "";
  for await (const piece of streamText({ model, prompt: question, maxRetries: 0 }).textStream) text += piece;
  show("AI SDK", "stream", text);
  const weather = tool({ description: "Return the weather", inputSchema: z.object({ city: z.string() }) });
  const found = await generateText({
    model, prompt: question, maxRetries: 0, tools: { get_weather: weather }, toolChoice: "required",
  });
  show("AI SDK", "tool call", found.toolCalls.map((call) => [call.toolName, call.input]));
});
"""


def python_of(folder: Path) -> Path:
    """Return the interpreter of the virtual environment, created if missing."""
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PYTHON_PACKAGES], check=True)
    return python


def node_script(folder: Path) -> Path | None:
    """Return the script in a folder with the packages; None if there is no npm."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        return None
    node = folder / "node"
    if not (node / "node_modules").exists():
        node.mkdir(parents=True, exist_ok=True)
        (node / "package.json").write_text('{"private": true, "type": "module"}')
        subprocess.run(["npm", "install", "--silent", *NODE_PACKAGES], check=True, cwd=node)
    script = node / "case.mjs"
    script.write_text(NODE)
    return script


def results(command: list[str], base_url: str) -> dict[tuple[str, str], object]:
    """Return the values of each case."""
    done = subprocess.run([*command, base_url], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        print(done.stderr[-800:])
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {(line["library"], line["case"]): line["value"] for line in lines}


async def logged(folder: Path) -> tuple[int, int]:
    """Return how many requests are in the log, and how many of them are done with a request_id."""
    log = await RequestLog.open(folder)
    rows = await log.page(EVERYTHING)
    await log.close()
    return len(rows), sum(row.phase == "done" and row.request_id is not None for row in rows)


def main() -> None:
    """Print the table."""
    import asyncio

    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        script = folder / "case.py"
        folder.mkdir(parents=True, exist_ok=True)
        commands = [[str(python_of(folder)), str(script)]]
        script.write_text(PYTHON)
        node = node_script(folder)
        if node is None:
            print("no node: openai-node and the AI SDK are not run")
        else:
            commands.append(["node", str(node)])
        simulator = SimulatorProcess.start(("--plan", "none", "--ttft-ms", "20", "--token-ms", "1"))
        data = Path(temporary) / "data"
        arguments = ("record", "--port", "0", "--base-url", simulator.base_url, "--data-dir", str(data))
        recorder = ServerProcess.launch(arguments, os.environ)
        for command in commands:
            direct, recorded = results(command, simulator.base_url), results(command, recorder.base_url)
            for name in dict.fromkeys([*direct, *recorded]):
                one, two = direct.get(name), recorded.get(name)
                verdict = "equal" if one == two and one and name[1] != "error" else f"DIFFERENT: {one!r} / {two!r}"
                print(f"{name[0]:14} {name[1]:10} {verdict}")
        recorder.stop()
        simulator.stop()
        requests, done = asyncio.run(logged(data))
        print(f"in the log: {requests} requests, {done} done with a request_id")


if __name__ == "__main__":
    main()
