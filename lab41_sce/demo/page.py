"""The page: the functions behind its components (`layout.py`) and buttons; `results.py` separates."""

import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.plot import PlotData

from lab41_sce.demo import drawing, markup
from lab41_sce.demo.downloads import write_preview, write_result
from lab41_sce.demo.layout import (
    BINARY,
    EXAMPLE,
    EXAMPLES,
    MAX_NAME_LENGTH,
    MICROPHONE,
    MIXTURE,
    OWN,
    VOICES,
    Layout,
)
from lab41_sce.demo.results import Choices, Result, separate_sound
from lab41_sce.demo.sessions import Stopped, Visitors
from lab41_sce.demo.sounds import Limits, Sound, make_mixture, open_sound, too_large
from lab41_sce.demo.systems import Systems
from lab41_sce.errors import UserError
from lab41_sce.examples import FOLDER

MAX_WAITING = 100  # events of all visitors
NEW_CHOICE = "Stopped, because you chose something else."
OF_COMMAND = " (this is an option of the command lab41-sce separate)"
# Rotates the plot in the browser, so that no mouse is needed.
ROTATE_SCRIPT = """(degrees, plot) => {
    if (!plot) return plot;
    const figure = JSON.parse(plot.plot), angle = degrees * Math.PI / 180;
    figure.layout.scene.camera = {eye: {x: 2.1 * Math.cos(angle), y: 2.1 * Math.sin(angle), z: 0.8}};
    return {...plot, plot: JSON.stringify(figure)};
}"""
# On a telephone, the result is below the choices.
SCROLL_SCRIPT = """() => {
    const result = document.getElementById("result");
    if (result.offsetWidth > window.innerWidth / 2 + 100) result.scrollIntoView();
}"""
# `page.js` has written the message there.
REFUSAL_SCRIPT = "(button) => document.getElementById('refusal').dataset.message"

logger = logging.getLogger(__name__)


class Page:
    """Build the page and react to its buttons.

    Args:
        systems: available systems.
        limits: of recordings.
        visitors: keeps the files and the work of each visitor.

    Attributes:
        layout: the components, once the page is built.
    """

    layout: Layout

    def __init__(self, systems: Systems, limits: Limits, visitors: Visitors):
        self.systems, self.limits, self.visitors = systems, limits, visitors
        self._separated: dict[str, tuple[tuple, tuple]] = {}  # sound and settings of each visitor's last separation

    def build(self) -> gr.Blocks:
        """Build the page."""
        quiet: dict[str, Any] = {"show_progress": "hidden"}
        at_once = quiet | {"queue": False}
        with gr.Blocks(title="Separate voices", analytics_enabled=False) as page:
            self.layout = layout = Layout(self.systems.names, self.limits)
            layout.kind.change(self.show_inputs, [layout.kind], [*layout.groups.values()], **at_once)
            chosen = [layout.preview, *layout.outputs]
            page.load(self.choose, layout.sound, chosen, **at_once)
            gr.on([*(each.input for each in layout.sound[:-2]), layout.file.change, layout.recorded.change],
                  self.choose, layout.sound, chosen, trigger_mode="always_last", **at_once)
            gr.on([layout.voices.input, layout.system.input, layout.masks.input, layout.name.input],
                  self.change, layout.settings, layout.outputs, trigger_mode="always_last", **at_once)
            layout.refusal.click(self.refuse, [layout.refusal], layout.outputs, js=REFUSAL_SCRIPT, **at_once)
            layout.person.change(self.change_person, layout.settings, layout.outputs, **at_once)
            for button in (layout.go, layout.again):  # Gradio 6 runs the events of a button one after the other
                button.click(None, js=SCROLL_SCRIPT)
            work: dict[str, Any] = quiet | {"concurrency_limit": 20}
            layout.go.click(self.separate, layout.inputs, layout.outputs, **work)
            layout.again.click(None, [layout.again], [layout.voices], js="(label) => label.match(/\\d+/)[0]").then(
                self.separate, layout.inputs, layout.outputs, **work)
            layout.stop.click(self.cancel, None, layout.outputs, **at_once)
            layout.turn.input(None, [layout.turn, layout.plot], [layout.plot], js=ROTATE_SCRIPT, **quiet)
            page.unload(self.leave)
        # Without `api_open`, Gradio would also run an event outside of its queue.
        return page.queue(max_size=MAX_WAITING, api_open=False)

    def show_inputs(self, kind: str) -> list:
        """Show the inputs of one kind of sound."""
        return [gr.update(visible=name == kind) for name in self.layout.groups]

    def choose(self, kind: str, example: str, first: str, second: str, level_db: float, sentence: int,
               file: str | None, recorded: str | None, request: gr.Request) -> dict:
        """Check the chosen sound and show it in the player; clear the result of another one."""
        visitor, layout = request.session_hash, self.layout
        chosen = kind, example, first, second, level_db, sentence, file, recorded
        late = self._separated.get(visitor, ((), ()))[0] == chosen  # this event was slower than that of the button
        if not late:
            self._forget_result(visitor)
        text, failed, player = "Ready.", False, ""
        if (kind, file) == (OWN, None) or (kind, recorded) == (MICROPHONE, None):
            text = "Choose a file." if kind == OWN else "Record a sound."
        else:
            try:
                sound = self._sound(kind, example, (first, second, level_db, sentence), file, recorded, visitor)
                folder = self.visitors.folder(visitor, "preview")
                write_preview(sound, folder)
                player = markup.preview(sound, folder)
                notes = "".join(f" Note: {note}{OF_COMMAND if ' --' in note else ''}." for note in sound.notes)
                text = f"{sound.name}: {sound.seconds:.1f} s.{notes} Press Separate."
            except UserError as error:
                text, failed = str(error), True
        return {layout.preview: player} | ({} if late else self._ended(text, failed) | layout.no_result())

    def change(self, voices: str, system: str, masks: str, person: str | None, name: str | None,
               request: gr.Request) -> dict:
        """Clear a result, which had other settings."""
        visitor = request.session_hash
        if self._separated.get(visitor, ((), ()))[1] == (voices, system, masks, person, name):
            return {self.layout.status: gr.skip()}  # this event was slower than that of the button
        self._forget_result(visitor)
        return self._ended("Ready. Press Separate.") | self.layout.no_result()

    def change_person(self, voices: str, system: str, masks: str, person: str | None, name: str | None,
                      request: gr.Request) -> dict:
        """Check the recording of the person to find; clear a result, which had other settings."""
        updates = self.change(voices, system, masks, person, name, request)
        try:
            if person is not None:
                open_sound(self._upload(person, request.session_hash), self.limits)
        except UserError as error:
            updates |= self._ended(str(error), failed=True)
        return updates

    def refuse(self, message: str, request: gr.Request) -> dict:
        """Show in one sentence why a request was refused, such as an upload; clear the result.

        Args:
            message: of Gradio in the browser: the sentence of the server, for an upload after "HTTP 415: ", or names of
                files that are too large, which the browser does not send.
            request: names the visitor.
        """
        sentence = re.sub(r"^HTTP \d+: ", "", message)
        if "exceed the maximum allowed size" in sentence:
            name = sentence.partition(": ")[2].strip('"') or "the file"
            sentence = too_large(name, f"more than {self.limits.megabytes:g}", self.limits)
        self._forget_result(request.session_hash, sentence)
        return self._failed(sentence)

    def separate(self, kind: str, example: str, first: str, second: str, level_db: float, sentence: int,
                 file: str | None, recorded: str | None, voices: str, system: str, masks: str, person: str | None,
                 name: str | None, request: gr.Request) -> Iterator[dict]:
        """Separate the chosen sound; yield progress, then the result or a sentence about the error."""
        visitor, started, layout = request.session_hash, time.monotonic(), self.layout

        def work(progress: Callable[[float], None]) -> Result:
            sound = self._sound(kind, example, (first, second, level_db, sentence), file, recorded, visitor)
            people = {}
            if person:
                called = " ".join((name or "").split())[:MAX_NAME_LENGTH] or "The person"
                people[called] = open_sound(self._upload(person, visitor), self.limits)
            choices = Choices(system, VOICES[voices], masks == BINARY, people)
            return separate_sound(sound, choices, self.systems, progress)

        self._separated[visitor] = ((kind, example, first, second, level_db, sentence, file, recorded),
                                    (voices, system, masks, person, name))
        job = self.visitors.start(visitor, work)
        try:
            yield layout.no_result() | {layout.verdict: markup.working("", 0.0)}
            for share in job.watch():
                seconds = time.monotonic() - started
                doing = "Waiting for other visitors" if share is None else f"Separating, {share:.0%} done"
                text = f"{doing} ({seconds:.0f} s)."
                yield {layout.status: markup.message(text), layout.stop: gr.update(interactive=True),
                       layout.verdict: markup.working(text, share or 0.0)}
            shown = self._show(job.result, system, visitor)
            job.raise_if_stopped()
            yield self._ended(f"Done in {time.monotonic() - started:.1f} s.") | shown
        except Stopped as stopped:
            yield self._ended(f"{stopped}") | layout.no_result()
        except UserError as error:
            yield self._failed(f"{error}")
        except Exception:  # the visitor gets a sentence, the log the traceback
            logger.exception("A separation failed.")
            text = "This failed because of an error in the program; its log contains the details."
            yield self._failed(text)
        finally:
            self.visitors.finish(visitor, job)

    def cancel(self, request: gr.Request) -> dict:
        """Stop the visitor's current separation."""
        if self.visitors.cancel(request.session_hash):
            return self._ended("Cancelled.") | self.layout.no_result()
        return self._ended("There is nothing to cancel.")

    def leave(self, request: gr.Request) -> None:
        """Delete the data of a visitor who has closed the page."""
        self._separated.pop(request.session_hash, None)
        self.visitors.leave(request.session_hash)

    def _forget_result(self, visitor: str, reason: str = NEW_CHOICE) -> None:
        """Stop the visitor's separation, if it still runs; the reason becomes its status."""
        self._separated.pop(visitor, None)
        self.visitors.cancel(visitor, reason)

    def _ended(self, text: str, failed: bool = False) -> dict:
        """Return the updates that show a status, with nothing to cancel."""
        return {self.layout.status: markup.message(text, failed), self.layout.stop: gr.update(interactive=False)}

    def _failed(self, text: str) -> dict:
        """Return the updates that show an error, also in the place of the result, where a telephone has scrolled to."""
        return self._ended(text, failed=True) | self.layout.no_result() | {self.layout.verdict: markup.failure(text)}

    def _sound(self, kind: str, example: str, mixture: tuple, file: str | None, recorded: str | None,
               visitor: str) -> Sound:
        """Return the chosen sound."""
        if kind == EXAMPLE:
            return replace(open_sound(FOLDER / EXAMPLES[example], self.limits), name=example)
        if kind == MIXTURE:
            return make_mixture(*mixture)
        return open_sound(self._upload(file if kind == OWN else recorded, visitor), self.limits)

    def _upload(self, path: str | None, visitor: str) -> Path:
        """Return the path of an upload, and never that of another file; the upload is deleted with the visitor."""
        if path is None or not self.visitors.is_upload(Path(path)):
            raise UserError("there is no recording; record or upload one first.")
        self.visitors.hold(visitor, path)
        return Path(path)

    def _show(self, result: Result, system: str, visitor: str) -> dict:
        """Return the updates for a result."""
        layout, folder, other = self.layout, self.visitors.folder(visitor), markup.alternative(result)
        write_result(result, folder)
        shown = {layout.verdict: markup.verdict(result), layout.sounds: markup.voices(result, folder),
                 layout.again: gr.update(value=f"Try {other}", visible=other is not None),
                 layout.details: gr.update(visible=True), layout.numbers: markup.details(result, system)}
        if result.projection is None:
            return shown
        figure, caption = drawing.embeddings(result.projection, result.labels)
        return shown | {layout.space: gr.update(visible=True), layout.plot: PlotData(type="plotly", plot=figure),
                        layout.caption: f"<p>{caption}</p>", layout.turn: 45}
