"""The paths of advice through the window: from the adviser to the list and the marks, and from these to a mend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playground.prompt.document import Document
from playground.prompt.field_errors import FieldError
from playground.ui.controllers.dialogs import DialogController
from playground.ui.controllers.files import Files
from playground.ui.controllers.lint import Adviser
from playground.ui.controllers.request import Requests
from playground.ui.panes.inspector.lint_section import AdviceSection
from playground.ui.panes.prompt.pane import PromptPane

if TYPE_CHECKING:
    from playground.lint.model import Finding


class AdvicePaths:
    """Connects the adviser, which looks when the prompt rests, with everything that shows or uses its advice."""

    def __init__(
        self,
        adviser: Adviser,
        section: AdviceSection,
        requests: Requests,
        prompt: PromptPane,
        files: Files,
        program: DialogController,
    ) -> None:
        self._adviser, self._section, self._prompt = adviser, section, prompt
        self._files, self._program = files, program
        prompt.edited.connect(adviser.look_soon)
        requests.settled.connect(adviser.look_again)
        adviser.advised.connect(self._show)
        section.place_requested.connect(self._show_place)
        section.fix_requested.connect(lambda advice: self._mend((advice,)))
        section.dismissed.connect(lambda advice, for_good: adviser.dismiss(advice, for_good=for_good))
        section.guide_requested.connect(self.guide)

    def mend(self) -> None:
        """Offer to mend all that the adviser has found."""
        self._mend(self._adviser.advice)

    def guide(self, rule: str = "") -> None:
        """Open the guide, at a rule if one is given."""
        dialog = self._program.guide_dialog(rule)
        dialog.recall_requested.connect(self._adviser.recall)
        dialog.example_requested.connect(self._files.show_example)

    def _show(self, advice: tuple[Finding, ...], document: Document) -> None:
        self._section.show_advice(advice)
        self._prompt.set_advice(advice, document)

    def _show_place(self, advice: Finding) -> None:
        place = next(place for place in advice.places if place.path)
        self._prompt.go_to(FieldError(place.path, advice.title, offset=place.start))

    def _mend(self, advice: tuple[Finding, ...]) -> None:
        self._program.mend_dialog(self._prompt, advice)
