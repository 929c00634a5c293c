"""Colors, type scale, spacing, and the style sheet that is built from them."""

from __future__ import annotations

import json
import re
from functools import cache
from string import Template

from msgspec import Struct
from PySide6.QtCore import QEvent, QLocale, QObject, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QGuiApplication, QPainter, QPalette, QPen
from PySide6.QtWidgets import QApplication, QWidget

from playground import asset

PALETTE_ROLES = {
    "window": "window",
    "surface": "base",
    "sunk": "alternate-base",
    "line": "mid",
    "text": "text",
    "muted": "placeholder-text",
    "accent": "highlight",
    "on_accent": "highlighted-text",
    "selection": "midlight",
    "button_border": "dark",
    "fresh_outline": "shadow",
    "output": "link-visited",
    "failure": "bright-text",
    "variable": "tooltip-base",
    "variable_edge": "tooltip-text",
    "warm_edge": "light",
}
"""The palette's color, by its name in style sheets, that has the color of a theme's role."""


def style_sheet(chevron: str, check: str, zoom: float = 1.0) -> str:
    """Return `resources/themes/window.qss`, with the theme's roles as colors of the palette.

    `chevron`, `check`: paths of the list arrow and the check mark. `zoom`: factor of sizes of text, and of the controls
    that hold it.

    It is the same in every theme: a change of theme sets the palette and polishes the widgets (`apply_theme`).
    Widgets choose a look by dynamic property and set no colors:
      QLabel      tone = "muted" | "caption" (section head) | "title" (empty state) | "headline" (the one figure) |
                         "strong" | "failure" | "warm" | "variable" | "output" | "link"
                  mono = "true": an id or a snippet at 12 px
      QPushButton look = "primary" (one per mode) | "stop" | "menu" (chevron) | "mode" (mode switch) | "quiet" |
                         "link" | "role" (none: outlined)
      QToolButton look = "icon"
      QLineEdit   bad = "true": invalid value
      QFrame      look = "menurow" | "bar" (toolbar) | "modes" | "notice" (banner) | "footer" | "hairline" | "card" |
                         "pane" | "callout" (amber edge) | "aside" (grey edge) | "error" (red edge); row = "figure"
      QPlainTextEdit zoned = "true" (the card paints the fill) | boxed = "true"
    At run time, change a property with `restyle(widget, property=value)`.
    """
    roles = {role: f"palette({name})" for role, name in PALETTE_ROLES.items()}
    template = Template(asset("themes/window.qss").read_text("utf-8"))
    made = template.substitute(roles, chevron=chevron, check=check)
    if zoom == 1.0:
        return made

    def zoomed(found: re.Match[str]) -> str:
        return f"{found[1]}{round(int(found[2]) * zoom)}px"

    made = _OF_MARK.sub(lambda rule: _LENGTH.sub(zoomed, rule[0]), made)
    made = _OF_MENU.sub(lambda found: f"{found[1]}{round(int(found[2]) + MARK_PX * (zoom - 1))}px", made)
    return _OF_TEXT.sub(zoomed, made)


MARK_PX = 12
"""Width of the arrow of a button with a menu, at 100 %."""
_OF_TEXT = re.compile(r"((?:font-size|min-height): )(\d+)px")
_OF_MENU = re.compile(r'(QPushButton\[look="menu"\](?::focus)? { padding: \dpx )(\d+)px')
"""The room at the right of a button with a menu, which has its arrow."""
_OF_MARK = re.compile(r"::(?:indicator|menu-indicator|down-arrow|drop-down)[^{}]*{[^}]*}")
"""The rule of a mark beside text: a check box, or the arrow of a list."""
_LENGTH = re.compile(r"(\b(?:width|height|border-radius|border): )(\d+)px")


def restyle(widget: QWidget, **properties: str | bool) -> None:
    """Set properties that the style sheet selects by, and apply it to the widget again if one has changed."""
    changed = False
    for name, value in properties.items():
        selected = str(value).lower() if isinstance(value, bool) else value
        if (widget.property(name) or "") != selected:
            widget.setProperty(name, selected)
            changed = True
    # Qt polishes a widget before it is first displayed.
    if changed and widget.testAttribute(Qt.WidgetAttribute.WA_WState_Polished):
        style = widget.style()
        style.unpolish(widget)
        style.polish(widget)


PROMPT_PX = "promptPixels"
"""The application's property that holds the chosen size of prompts and completions."""
_STYLED_ZOOM = "styledZoom"
"""The application's property that holds the zoom of its style sheet."""
ZOOM = "zoom"
"""The application's property that holds the factor of all text, 1.0 by default."""
GRID = 8
"""The spacing unit in device-independent pixels; margins and gaps are its multiples or its half."""
BASE_PX = 13
"""Body text. The scale is 11 (captions), 12 (secondary), 13 (body), 20 (the one headline figure)."""

UI_FAMILIES = ("Inter", "Segoe UI", "SF Pro Text", "Noto Sans", "Cantarell", "Ubuntu", "DejaVu Sans")
MONO_FAMILIES = (
    "JetBrains Mono",
    "Cascadia Mono",
    "SF Mono",
    "Menlo",
    "Consolas",
    "Noto Sans Mono",
    "DejaVu Sans Mono",
)


class Theme(Struct, frozen=True):
    """One color per role; roles mean the same in every theme (resources/themes/palette.json).

    stable, variable: structure of the prompt (fill). warm_edge: expected from, or served by, the cache. fresh_outline:
    not cached (hollow marks), and the border of text fields. output: text of the model. failure: errors. `…_edge` is
    the role's strong color for text, marks and bars; the plain name is its background.
    """

    name: str
    window: QColor
    surface: QColor
    sunk: QColor
    line: QColor
    text: QColor
    muted: QColor
    accent: QColor
    on_accent: QColor
    selection: QColor
    warm: QColor
    warm_edge: QColor
    stable: QColor
    stable_edge: QColor
    variable: QColor
    variable_edge: QColor
    chip: QColor
    fresh_outline: QColor
    button_border: QColor
    output: QColor
    failure: QColor

    @property
    def dark(self) -> bool:
        """Whether text is lighter than its ground."""
        return self.text.lightness() > self.window.lightness()


STYLED = "fusion"
"""The application's property that says that it was constructed with the style Fusion."""
_IN_USE = "theme"
"""The application's property that holds the theme in use."""


def current_theme() -> Theme:
    """Return the theme in use; the light one while no application has been dressed."""
    application = QApplication.instance()
    found = application.property(_IN_USE) if application is not None else None
    return found if isinstance(found, Theme) else load_theme("light")


@cache
def load_theme(name: str) -> Theme:
    """Return the theme "light" or "dark". Raises KeyError for any other name."""
    table = json.loads(asset("themes/palette.json").read_text("utf-8"))[name]
    return Theme(name=name, **{role: QColor(value) for role, value in table.items()})


def fill_area(painter: QPainter, area: QRect | QRectF, color: QColor) -> None:
    """Fill a rectangle like `QPainter.fillRect`, for which PySide would build the 180 members of QGradient.Preset."""
    painter.setBackground(QPen(color).brush())
    painter.eraseRect(area)


THEME_EVENTS = frozenset((QEvent.Type.PaletteChange, QEvent.Type.StyleChange))
"""What a widget receives after a change of theme: one of them, or both."""


class Recolored:
    """Mixin of a widget whose contents have colors of the theme: calls `recolor` after a change of theme."""

    _colored_in = ""

    def colored(self) -> None:
        """Note that the contents have the colors of the theme in use. Call it at the end of the constructor."""
        self._colored_in = current_theme().name

    def recolor(self) -> None:
        raise NotImplementedError

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)  # type: ignore[misc]  # the widget's
        if event.type() in THEME_EVENTS and self._colored_in not in ("", current_theme().name):
            self.colored()
            self.recolor()


def zoom_factor() -> float:
    """Return the factor of all text and of the rows that hold it."""
    application = QApplication.instance()
    return float((application and application.property(ZOOM)) or 1.0)


def scaled(px: float) -> int:
    """Return a size in device-independent pixels at the present zoom."""
    return round(px * zoom_factor())


def ui_font(px: int = BASE_PX, *, bold: bool = False, tabular: bool = False) -> QFont:
    """Return the interface's font at `px` pixels; `tabular` gives every digit the same width, for columns."""
    return QFont(_made_font(UI_FAMILIES, scaled(px), bold, tabular))  # a copy: the caller may change it


def mono_font(px: int | None = None) -> QFont:
    """Return the font of prompts, completions and ids; `px` None: in the user's size."""
    if px is None:
        application = QApplication.instance()
        px = int((application and application.property(PROMPT_PX)) or BASE_PX)
    font = QFont(_made_font(MONO_FAMILIES, scaled(px), False, False))
    font.setStyleHint(QFont.StyleHint.Monospace)
    # Ligatures would draw two characters as one; here every character is counted.
    font.setFeature(QFont.Tag("liga"), 0)
    font.setFeature(QFont.Tag("calt"), 0)
    return font


def installed_fonts() -> tuple[str, str]:
    """Return the interface's and the prompts' font that are used on this machine; "" if only a fallback is."""
    from PySide6.QtGui import QFontDatabase

    application = QGuiApplication.instance() or QGuiApplication(["fonts", "-platform", "offscreen"])
    present = set(QFontDatabase.families())
    del application
    return next(filter(present.__contains__, UI_FAMILIES), ""), next(filter(present.__contains__, MONO_FAMILIES), "")


@cache
def _made_font(families: tuple[str, ...], px: int, bold: bool, tabular: bool) -> QFont:
    font = QFont()
    font.setFamilies(families)
    font.setPixelSize(px)
    font.setWeight(QFont.Weight.DemiBold if bold else QFont.Weight.Normal)
    if tabular:
        font.setFeature(QFont.Tag("tnum"), 1)
    return font


def qt_palette(theme: Theme) -> QPalette:
    """Return the theme as Qt's palette: Qt's own meaning of each color, and the roles of the style sheet."""
    palette = QPalette()
    roles = QPalette.ColorRole
    colors = {roles.WindowText: theme.text, roles.Button: theme.surface, roles.ButtonText: theme.text}
    colors[roles.Link] = theme.accent
    for role, name in PALETTE_ROLES.items():
        colors[_palette_role(name)] = getattr(theme, role)
    for place, color in colors.items():
        palette.setColor(place, color)
    for place in (roles.WindowText, roles.Text, roles.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, place, theme.muted)
    return palette


def _palette_role(name: str) -> QPalette.ColorRole:
    words = name.replace("tooltip", "tool-tip").split("-")
    return QPalette.ColorRole["".join(map(str.capitalize, words))]


def apply_colors(application: QApplication, theme: Theme) -> None:
    """Set style, font and palette, which widgets take over at their construction."""
    dressed = application.property(_IN_USE) is not None
    application.setProperty(_IN_USE, theme)
    # Numbers are written as everywhere in the program, with a decimal point, whatever the system's language.
    QLocale.setDefault(QLocale(QLocale.Language.English, QLocale.Country.UnitedStates))
    if not dressed and not application.property(STYLED):
        # Fusion draws the same on every platform; the style sheet assumes it. A second call would style all again.
        application.setStyle("Fusion")
    if application.font().pixelSize() != ui_font().pixelSize():
        application.setFont(ui_font())
    application.setPalette(qt_palette(theme))


def apply_theme(application: QApplication, theme: Theme) -> None:
    """Dress the whole application. Widgets that are hidden take the theme over when they are next shown.

    `QApplication.setStyleSheet` polishes each widget once for each of its ancestors, hidden ones included: 0.9 s
    for 1,300 widgets. After `QStyle.unpolish` of the application it knows none, and `_Polisher` polishes those that
    are visible, each once.
    """
    apply_colors(application, theme)
    styled = bool(application.styleSheet())
    if not styled or application.property(_STYLED_ZOOM) != zoom_factor():
        if styled:
            application.style().unpolish(application)
        application.setProperty(_STYLED_ZOOM, zoom_factor())
        icons = asset("icons")
        images = (icons / "chevron.svg").as_posix(), (icons / "check.svg").as_posix()
        application.setStyleSheet(style_sheet(*images, zoom_factor()))
    if not styled:
        return
    polisher = application.findChild(_Polisher) or _Polisher(application)
    for widget in application.topLevelWidgets():
        polisher.look_at(widget)


class _Polisher(QObject):
    """Resolves the style sheet again with the application's palette, for hidden widgets at their next show event."""

    def look_at(self, widget: QWidget) -> None:
        """Polish the widget and its visible descendants."""
        # Qt polishes a widget before it is displayed for the first time; one inside may have been asked for its size.
        if widget.testAttribute(Qt.WidgetAttribute.WA_WState_Polished):
            if not widget.isVisible():
                widget.installEventFilter(self)
                return
            font = widget.font()
            widget.style().polish(widget)
            if widget.testAttribute(Qt.WidgetAttribute.WA_SetFont) and widget.font().pixelSize() != font.pixelSize():
                widget.setFont(font)  # the style sheet gave back the size from before the zoom
            widget.update()
        for child in widget.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly):
            if not child.isWindow():
                self.look_at(child)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Show and isinstance(watched, QWidget):
            watched.removeEventFilter(self)
            self.look_at(watched)
        return super().eventFilter(watched, event)
