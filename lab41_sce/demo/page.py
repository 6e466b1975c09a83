"""The page: its inputs and outputs, and the functions behind its buttons. Built with Gradio; `results.py` separates."""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gradio as gr
from gradio.components.plot import PlotData

from lab41_sce.demo import drawing, markup
from lab41_sce.demo.results import Choices, Result, separate_sound
from lab41_sce.demo.sessions import Stopped, Visitors
from lab41_sce.demo.sounds import Limits, Sound, make_mixture, open_sound, speakers
from lab41_sce.demo.systems import Systems
from lab41_sce.errors import UserError
from lab41_sce.examples import FOLDER

EXAMPLE, MIXTURE, OWN = "An example", "A mixture of two speakers", "A recording of your own"
EXAMPLES = {"A woman and a man": "mixture.wav", "Two women (hard)": "two_women.wav",
            "Three people (hard)": "three_people.wav"}
VOICES: dict[str, int | tuple[int, int]] = {"Count them": (1, 3), "1": 1, "2": 2, "3": 3}  # there are three colours
SOFT, BINARY = "Soft, as the system estimates them", "Binary: each bin belongs to one voice"
MAX_WAITING = 100  # events of all visitors
# Rotates the plot in the browser, so that no mouse is needed.
ROTATE_SCRIPT = """(degrees, plot) => {
    if (!plot) return plot;
    const figure = JSON.parse(plot.plot), angle = degrees * Math.PI / 180;
    figure.layout.scene.camera = {eye: {x: 2.1 * Math.cos(angle), y: 2.1 * Math.sin(angle), z: 0.8}};
    return {...plot, plot: JSON.stringify(figure)};
}"""

logger = logging.getLogger(__name__)


class Page:
    """Build the page and react to its buttons.

    Args:
        systems: available systems.
        limits: of recordings.
        visitors: keeps the files and the work of each visitor.
    """

    def __init__(self, systems: Systems, limits: Limits, visitors: Visitors):
        self.systems, self.limits, self.visitors = systems, limits, visitors

    def build(self) -> gr.Blocks:
        """Build the layout of the page."""
        with gr.Blocks(title="Separate voices", analytics_enabled=False) as page:
            gr.HTML("<h1>Separate voices</h1><p>This page separates a recording of several people who speak at once "
                    "into one sound for each. All data stay on the computer that runs this page, and are deleted when "
                    "you leave it, after one hour at the latest.</p>")
            with gr.Row():
                with gr.Column(scale=2, min_width=320):
                    inputs, recording, go, stop, status = self._build_inputs()
                with gr.Column(scale=3, min_width=320):
                    outputs = self._build_outputs()
            state = [status, stop]
            go.click(self.separate, inputs, [*state, *outputs], show_progress="hidden", concurrency_limit=20)
            stop.click(self.cancel, None, state, show_progress="hidden", queue=False)
            recording.change(self.check, [recording], [status], show_progress="hidden")
            page.unload(self.leave)
        # Without `api_open`, Gradio would also run an event outside of its queue.
        return page.queue(max_size=MAX_WAITING, api_open=False)

    def _build_inputs(self) -> tuple[list, gr.Audio, gr.Button, gr.Button, gr.HTML]:
        """Build the inputs and the buttons."""
        gr.HTML("<h2>Sound</h2>")
        kind = gr.Radio([EXAMPLE, MIXTURE, OWN], value=EXAMPLE, label="Source")
        with gr.Group() as examples:
            example = gr.Radio([*EXAMPLES], value=next(iter(EXAMPLES)), label="Example")
        with gr.Group(visible=False) as mixtures:
            names = [*speakers()]
            first = gr.Dropdown(names, value=names[2], label="First speaker (synthetic speech)")
            second = gr.Dropdown(names, value=names[12], label="Second speaker")
            level_db = gr.Slider(-10, 10, value=0, step=1, label="Level of the first speaker above the second (dB)")
            sentence = gr.Slider(1, 10, value=1, step=1, label="Sentence number")
        with gr.Group(visible=False) as own:
            recording = gr.Audio(sources=["upload", "microphone"], type="filepath", editable=False,
                                 label=f"At most {self.limits.seconds:g} seconds, {self.limits.megabytes:g} MB "
                                       "(WAV, FLAC, OGG or MP3)")
        gr.HTML("<h2>Settings</h2>")
        voices = gr.Radio([*VOICES], value=next(iter(VOICES)), label="Number of voices")
        system = gr.Dropdown(self.systems.names, value=self.systems.names[0], label="System")
        masks = gr.Radio([SOFT, BINARY], value=SOFT, label="Masks")
        with gr.Row():
            go = gr.Button("Separate", variant="primary", elem_id="separate")
            stop = gr.Button("Cancel", variant="stop", interactive=False, elem_id="cancel")
        status = gr.HTML(markup.message("Ready."), elem_id="status")
        kind.change(lambda kind: [gr.update(visible=kind == name) for name in (EXAMPLE, MIXTURE, OWN)], [kind],
                    [examples, mixtures, own], show_progress="hidden", queue=False)
        inputs = [kind, example, first, second, level_db, sentence, recording, voices, system, masks]
        return inputs, recording, go, stop, status

    def _build_outputs(self) -> list:
        """Build the outputs."""
        gr.HTML("<h2>Result</h2>")
        sounds = gr.HTML("<p>Choose a sound and press <b>Separate</b>.</p>", elem_id="sounds")
        pictures = gr.HTML(elem_id="pictures")
        with gr.Column(visible=False) as space:
            gr.HTML("<h3>Embeddings of the bins in three dimensions</h3>")
            plot = gr.Plot(show_label=False, elem_id="vectors", label="Embeddings of the bins; described below")
            turn = gr.Slider(-180, 180, value=45, step=5, label="Turn (degrees), or drag the plot")
            caption = gr.HTML(elem_id="vectors-caption")
        turn.input(None, [turn, plot], [plot], js=ROTATE_SCRIPT, show_progress="hidden")
        return [sounds, pictures, space, plot, caption, turn]

    def separate(self, kind: str, example: str, first: str, second: str, level_db: float, sentence: int,
                 recording: str | None, voices: str, system: str, masks: str, request: gr.Request) -> Iterator[list]:
        """Separate the chosen sound; yield progress, then the result or a sentence about the error."""
        visitor, started = request.session_hash, time.monotonic()
        nothing = [gr.skip()] * 6

        def work(progress: Callable[[float], None]) -> Result:
            sound = self._sound(kind, example, (first, second, level_db, sentence), recording)
            return separate_sound(sound, Choices(system, VOICES[voices], masks == BINARY), self.systems, progress)

        job = self.visitors.start(visitor, work)
        try:
            for share in job.watch():
                seconds = time.monotonic() - started
                doing = "Waiting for other visitors" if share is None else f"Separating, {share:.0%} done"
                yield [markup.message(f"{doing} ({seconds:.0f} s).", share or 0), gr.update(interactive=True), *nothing]
            outputs = self._show(job.result, system, visitor)
            yield [markup.message(f"Done in {time.monotonic() - started:.1f} s."), gr.update(interactive=False),
                   *outputs]
        except Stopped:
            yield [markup.message("Cancelled."), gr.update(interactive=False), *nothing]
        except UserError as error:
            yield [markup.message(f"{error}", failed=True), gr.update(interactive=False), *nothing]
        except Exception:  # the visitor gets a sentence, the log the traceback
            logger.exception("A separation failed.")
            text = "This failed because of an error in the program; its log contains the details."
            yield [markup.message(text, failed=True), gr.update(interactive=False), *nothing]
        finally:
            self.visitors.finish(visitor, job)

    def cancel(self, request: gr.Request) -> list:
        """Stop the visitor's current separation."""
        stopped = self.visitors.cancel(request.session_hash)
        text = "Cancelled." if stopped else "There is nothing to cancel."
        return [markup.message(text), gr.update(interactive=False)]

    def check(self, recording: str | None, request: gr.Request) -> str:
        """Check an uploaded recording; return a status message."""
        if recording is None:
            return markup.message("Ready.")
        try:
            upload = self._upload(recording)
            self.visitors.hold(request.session_hash, upload)
            sound = open_sound(upload, self.limits)
        except UserError as error:
            return markup.message(str(error), failed=True)
        notes = "".join(f" Note: {note}." for note in sound.notes)
        return markup.message(f"{sound.name}: {sound.seconds:.1f} s.{notes} Press Separate.")

    def leave(self, request: gr.Request) -> None:
        """Delete the data of a visitor who has closed the page."""
        self.visitors.leave(request.session_hash)

    def _sound(self, kind: str, example: str, mixture: tuple, recording: str | None) -> Sound:
        """Return the chosen sound."""
        if kind == EXAMPLE:
            return open_sound(FOLDER / EXAMPLES[example], self.limits)
        if kind == MIXTURE:
            return make_mixture(*mixture)
        return open_sound(self._upload(recording), self.limits)

    def _upload(self, recording: str | None) -> Path:
        """Return the path of an upload, and never that of another file."""
        if recording is None or not self.visitors.is_upload(Path(recording)):
            raise UserError("there is no recording; record or upload one first.")
        return Path(recording)

    def _show(self, result: Result, system: str, visitor: str) -> list:
        """Return the outputs for a result."""
        sounds = (markup.summary(result, system) + markup.players(result, self.visitors.folder(visitor))
                  + markup.scores(result.scores))
        pictures = markup.pictures(result)
        if result.projection is None:
            return [sounds, pictures, gr.update(visible=False), None, "", gr.skip()]
        figure, caption = drawing.embeddings(result.projection, len(result.voices))
        plot = PlotData(type="plotly", plot=figure)
        return [sounds, pictures, gr.update(visible=True), plot, f"<p>{caption}</p>", 45]
