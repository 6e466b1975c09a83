"""The page: what one may choose on it, and what happens then. Made with Gradio; the work itself is in `work.py`."""

import logging
import time
from pathlib import Path

import gradio as gr
from gradio.components.plot import PlotData

from lab41_sce.demo import drawing, markup
from lab41_sce.demo.sessions import Stopped, Visitors
from lab41_sce.demo.systems import Systems
from lab41_sce.demo.work import Choices, Limits, Sound, make_mixture, open_sound, separate, speakers
from lab41_sce.errors import UserError
from lab41_sce.examples import FOLDER

EXAMPLE, MADE, OWN = "An example", "A mixture of two speakers", "A recording of your own"
EXAMPLES = {"A woman and a man": "mixture.wav", "Two women (hard)": "two_women.wav",
            "Three people (hard)": "three_people.wav"}
VOICES = {"Count them": "auto", "1": 1, "2": 2, "3": 3}
SOFT, BINARY = "Soft, as the system makes them", "Binary: all or nothing"
# Turns the drawing in the browser, so that no mouse is needed.
TURN = """(degrees, plot) => {
    if (!plot) return plot;
    const figure = JSON.parse(plot.plot), angle = degrees * Math.PI / 180;
    figure.layout.scene.camera = {eye: {x: 2.1 * Math.cos(angle), y: 2.1 * Math.sin(angle), z: 0.8}};
    return {...plot, plot: JSON.stringify(figure)};
}"""

logger = logging.getLogger(__name__)


class Page:
    """What the page's buttons do.

    Args:
        systems: to choose from.
        limits: of recordings.
        visitors: who keeps each visitor's sounds apart.
    """

    def __init__(self, systems: Systems, limits: Limits, visitors: Visitors):
        self.systems, self.limits, self.visitors = systems, limits, visitors

    def build(self) -> gr.Blocks:
        """Lay the page out."""
        with gr.Blocks(title="Separate voices", analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as page:
            gr.HTML("<h1>Separate voices</h1><p>People talk at once into one microphone; this gives you each voice "
                    "alone. Everything stays on the computer that runs this page.</p>")
            with gr.Row():
                with gr.Column(scale=2, min_width=320):
                    inputs, recording, go, stop, status = self._questions()
                with gr.Column(scale=3, min_width=320):
                    outputs = self._answers()
            state = [status, stop]
            go.click(self.separate, inputs, [*state, *outputs], show_progress="hidden", concurrency_limit=20)
            stop.click(self.cancel, None, state, show_progress="hidden", queue=False)
            recording.change(self.check, [recording], [status], show_progress="hidden")
            page.unload(self.leave)
        return page

    def _questions(self):
        """Lay out what one may choose."""
        gr.HTML("<h2>What to separate</h2>")
        kind = gr.Radio([EXAMPLE, MADE, OWN], value=EXAMPLE, label="Sound")
        with gr.Group() as examples:
            example = gr.Radio([*EXAMPLES], value=next(iter(EXAMPLES)), label="Example")
        with gr.Group(visible=False) as makings:
            names = [*speakers()]
            first = gr.Dropdown(names, value=names[2], label="First speaker (synthetic speech)")
            second = gr.Dropdown(names, value=names[12], label="Second speaker")
            level_db = gr.Slider(-10, 10, value=0, step=1, label="The first is louder by (dB)")
            sentence = gr.Slider(1, 10, value=1, step=1, label="Sentence number")
        with gr.Group(visible=False) as own:
            recording = gr.Audio(sources=["upload", "microphone"], type="filepath", editable=False,
                                 label=f"At most {self.limits.seconds:g} seconds, {self.limits.megabytes:g} MB "
                                       "(WAV, FLAC, OGG or MP3)")
        gr.HTML("<h2>How</h2>")
        voices = gr.Radio([*VOICES], value=next(iter(VOICES)), label="Number of voices")
        system = gr.Dropdown(self.systems.names, value=self.systems.names[0], label="System")
        masks = gr.Radio([SOFT, BINARY], value=SOFT, label="Masks")
        with gr.Row():
            go = gr.Button("Separate", variant="primary", elem_id="separate")
            stop = gr.Button("Cancel", variant="stop", interactive=False, elem_id="cancel")
        status = gr.HTML(markup.message("Ready."), elem_id="status")
        kind.change(lambda kind: [gr.update(visible=kind == name) for name in (EXAMPLE, MADE, OWN)], [kind],
                    [examples, makings, own], show_progress="hidden", queue=False)
        inputs = [kind, example, first, second, level_db, sentence, recording, voices, system, masks]
        return inputs, recording, go, stop, status

    def _answers(self):
        """Lay out what comes back."""
        gr.HTML("<h2>What was found</h2>")
        heard = gr.HTML("<p>Nothing yet: choose a sound and press <b>Separate</b>.</p>", elem_id="heard")
        seen = gr.HTML(elem_id="seen")
        with gr.Column(visible=False) as space:
            gr.HTML("<h3>The vectors of the bins, in three dimensions</h3>")
            plot = gr.Plot(show_label=False, elem_id="vectors", label="Vectors of the bins; described below")
            turn = gr.Slider(-180, 180, value=45, step=5, label="Turn (degrees); or drag the drawing")
            caption = gr.HTML(elem_id="vectors-caption")
        turn.input(None, [turn, plot], [plot], js=TURN, show_progress="hidden")
        return [heard, seen, space, plot, caption, turn]

    def separate(self, kind, example, first, second, level_db, sentence, recording, voices, system, masks,
                 request: gr.Request):
        """Separate what was chosen; tells its progress on the way, and what is wrong, in a sentence."""
        visitor, started = request.session_hash, time.monotonic()
        nothing = [gr.skip()] * 6

        def work(progress):
            sound = self._sound(kind, example, (first, second, level_db, sentence), recording)
            return separate(sound, Choices(system, VOICES[voices], masks == BINARY), self.systems, progress)

        try:
            job = self.visitors.start(visitor, work)
            for share in job.watch():
                seconds = time.monotonic() - started
                doing = "Waiting for other visitors" if share is None else f"Separating, {share:.0%} done"
                yield [markup.message(f"{doing} ({seconds:.0f} s).", share or 0), gr.update(interactive=True), *nothing]
            answers = self._answer(job.result, system, visitor)
            yield [markup.message(f"Done in {time.monotonic() - started:.1f} s."), gr.update(interactive=False),
                   *answers]
        except Stopped:
            yield [markup.message("Cancelled."), gr.update(interactive=False), *nothing]
        except UserError as error:
            yield [markup.message(f"{error}", failed=True), gr.update(interactive=False), *nothing]
        except Exception:  # a visitor gets a sentence, whatever happens; the log has the rest
            logger.exception("A separation failed.")
            yield [markup.message("This failed, and that is a mistake in the program: its log says more.", failed=True),
                   gr.update(interactive=False), *nothing]

    def cancel(self, request: gr.Request):
        """Stop what the visitor's last click on Separate began."""
        stopped = self.visitors.cancel(request.session_hash)
        said = "Cancelled." if stopped else "There was nothing to cancel."
        return [markup.message(said), gr.update(interactive=False)]

    def check(self, recording, request: gr.Request):
        """Say at once whether a recording can be taken."""
        if recording is None:
            return markup.message("Ready.")
        self.visitors.hold(request.session_hash, recording)
        try:
            sound = open_sound(recording, self.limits)
        except UserError as error:
            return markup.message(str(error), failed=True)
        return markup.message(f"{sound.name}: {sound.seconds:.1f} s. Press Separate.")

    def leave(self, request: gr.Request):
        """Forget a visitor who has closed the page."""
        self.visitors.leave(request.session_hash)

    def _sound(self, kind, example, mixture, recording) -> Sound:
        """Return the sound that was chosen."""
        if kind == EXAMPLE:
            return open_sound(FOLDER / EXAMPLES[example], self.limits)
        if kind == MADE:
            return make_mixture(*mixture)
        if recording is None or not Path(recording).exists():
            raise UserError("there is no recording yet; record or upload one first.")
        return open_sound(recording, self.limits)

    def _answer(self, result, system, visitor):
        """Turn a result into what the page shows."""
        heard = (markup.summary(result, system) + markup.players(result, self.visitors.folder(visitor))
                 + markup.scores(result.scores))
        seen = markup.pictures(result)
        if result.cloud is None:
            return [heard, seen, gr.update(visible=False), None, "", gr.skip()]
        figure, caption = drawing.vectors(result.cloud, len(result.voices))
        return [heard, seen, gr.update(visible=True), PlotData(type="plotly", plot=figure), f"<p>{caption}</p>", 45]
