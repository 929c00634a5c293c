"""How a program is pointed at the Recorder: the base URL and snippets for common clients, each with a copy button."""

from __future__ import annotations

from PySide6.QtWidgets import QComboBox, QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from playground.ui.theme import GRID, mono_font
from playground.ui.widgets.copy_button import CopyButton
from playground.ui.widgets.notice import words

SNIPPETS = {
    "Environment variable": "export OPENAI_BASE_URL={url}",
    "openai-python": """from openai import OpenAI

client = OpenAI(base_url="{url}", api_key=os.environ["SMALLEST_API_KEY"])""",
    "openai-node": """import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{url}", apiKey: process.env.SMALLEST_API_KEY }});""",
    "Pipecat": """from pipecat.services.smallest.llm import SmallestLLMService

llm = SmallestLLMService(api_key=os.environ["SMALLEST_API_KEY"], base_url="{url}")""",
    "LiveKit Agents": """from livekit.plugins import openai

llm = openai.LLM(model="electron", base_url="{url}", api_key=os.environ["SMALLEST_API_KEY"])""",
    "curl": """curl {url}/chat/completions \\
  -H "Authorization: Bearer $SMALLEST_API_KEY" -H "Content-Type: application/json" \\
  -d '{{"model": "electron", "messages": [{{"role": "user", "content": "Hello"}}]}}'""",
}
"""Client to code; `{url}` is the base URL of the Recorder."""


class ConnectPanel(QWidget):
    """Shows the snippet of the chosen client."""

    def __init__(self) -> None:
        super().__init__()
        self._url = ""
        self.client = QComboBox()
        self.client.setAccessibleName("Client library")
        self.client.addItems(list(SNIPPETS))
        self.code = QPlainTextEdit()
        self.code.setReadOnly(True)
        self.code.setTabChangesFocus(True)
        self.code.setProperty("boxed", "true")
        self.code.setFont(mono_font(12))
        self.code.setAccessibleName("Code that sends requests to the Recorder")
        self.code.setMaximumHeight(170)
        self.copy = CopyButton("the code")
        row = QHBoxLayout()
        row.addWidget(self.client, 1)
        row.addWidget(self.copy)
        column = QVBoxLayout(self)
        column.setContentsMargins(GRID * 2, GRID * 2, GRID * 2, GRID * 2)
        column.setSpacing(GRID)
        column.addWidget(words("Connect your program", "strong"))
        note = "Change the base URL. The key, headers and stream pass through unchanged; the key is not stored."
        column.addWidget(words(note, "muted"))
        column.addLayout(row)
        column.addWidget(self.code)
        column.addStretch(1)
        self.client.currentTextChanged.connect(lambda _name: self._show())
        self.show_url("")

    def show_url(self, url: str) -> None:
        """Use this base URL; "" while nothing is recorded."""
        self._url = url
        self._show()

    def _show(self) -> None:
        code = SNIPPETS[self.client.currentText()].format(url=self._url or "http://127.0.0.1:8788/waves/v1")
        self.code.setPlainText(code)
        self.copy.set_text_to_copy(code)
