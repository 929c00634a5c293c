"""The bar that says that a logged request is shown, and offers its prompt."""

from __future__ import annotations

from playground.ui.bars.slim import SlimBar
from playground.ui.editor.pane import PromptPane
from playground.ui.requests import Requests
from playground.workspace import Recalled


class LookingBack:
    """Shows itself while what the panes show comes from the log."""

    def __init__(self, bar: SlimBar, prompt: PromptPane, requests: Requests) -> None:
        self._bar, self._prompt, self._requests = bar, prompt, requests
        requests.looking_back.connect(self._show)

    def _show(self, recalled: Recalled | None) -> None:
        if recalled is None:
            self._bar.hide()
            return
        when = recalled.stored.record.started_utc.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        self._bar.say(
            f"From the log: {when}",
            [("Use its prompt", lambda: self._use_prompt(recalled)), ("Back", self._requests.show_current)],
        )

    def _use_prompt(self, recalled: Recalled) -> None:
        self._prompt.set_document(recalled.document, undoable=True, label="Use a logged prompt")
        self._bar.say("Its prompt is in the editor; Undo brings yours back.", [("Back", self._requests.show_current)])
