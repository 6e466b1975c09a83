"""The components of the page, built with Gradio: the sound, the settings and the buttons left, the result right."""

from typing import Any

import gradio as gr

from lab41_sce.demo import markup
from lab41_sce.demo.sounds import Limits, speakers

EXAMPLE, MIXTURE, OWN, MICROPHONE = "An example", "A mixture of two speakers", "A file of your own", "The microphone"
EXAMPLES = {"A woman and a man": "mixture.wav", "Two women (hard)": "two_women.wav",
            "Three people (hard)": "three_people.wav"}
VOICES: dict[str, int | str] = {"Count them": "auto", "1": 1, "2": 2, "3": 3, "4": 4, "5": 5}
SOFT, BINARY = "Soft, as the system estimates them", "Binary: each bin belongs to one voice"
MAX_NAME_LENGTH = 40  # of a person, in characters
INTRODUCTION = ('<h1>Separate voices</h1><p>This page separates a recording of several people who speak at once into '
                'one sound for each. <a href="help" target="_blank">Help</a></p><p>All data stay on the computer that '
                'runs this page. They are deleted when you leave it, after one hour at the latest.</p>')


class Layout:
    """Build the components, which are the attributes; to be called within `gr.Blocks`.

    Args:
        systems: names of the systems; the first is the default.
        limits: of recordings.
    """

    def __init__(self, systems: list[str], limits: Limits):
        gr.HTML(INTRODUCTION)
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=2, min_width=320, elem_id="choices"):
                self._build_sound(limits)
                self._build_settings(systems)
                with gr.Column(elem_id="actions"):
                    with gr.Row():
                        self.go = gr.Button("Separate", variant="primary", elem_id="separate", min_width=100)
                        self.stop = gr.Button("Cancel", variant="stop", interactive=False, elem_id="cancel",
                                              min_width=100)
                    self.status = gr.HTML(markup.message("Ready."), elem_id="status")
                    # `page.js` presses this button when Gradio shows that a request was refused.
                    self.refusal = gr.Button(visible="hidden", elem_id="refusal")
            with gr.Column(scale=3, min_width=320, elem_id="result"):
                self._build_result()

    def _build_sound(self, limits: Limits) -> None:
        """Build the choice of the sound, and its player."""
        gr.HTML("<h2>Sound</h2>")
        self.kind = gr.Radio([EXAMPLE, MIXTURE, OWN, MICROPHONE], value=EXAMPLE, label="Source")
        with gr.Group() as examples:
            self.example = gr.Radio([*EXAMPLES], value=next(iter(EXAMPLES)), label="Example")
        with gr.Group(visible=False) as mixtures:
            names = [*speakers()]
            self.first = gr.Dropdown(names, value=names[2], label="First speaker (synthetic speech)")
            self.second = gr.Dropdown(names, value=names[12], label="Second speaker")
            self.level_db = gr.Slider(-10, 10, value=0, step=1, label="Level of the first above the second (dB)")
            self.sentence = gr.Slider(1, 10, value=1, step=1, label="Sentence number")
        with gr.Group(visible=False) as own:
            self.file = gr.File(type="filepath", label="Recording", height=140, elem_id="file")
            gr.HTML(f'<p class="hint">Sound or video, at most {limits.seconds:g} seconds and {limits.megabytes:g} MB. '
                    "The command <code>lab41-sce separate FILE</code> accepts any length.</p>")
        with gr.Group(visible=False) as microphone:
            self.recorded = _recorder(["microphone"], "Your voices", "recorded")
        # Gradio's File makes an empty temporary file, which nobody deletes, for each event.
        self.file.preprocess = _path  # type: ignore[method-assign]
        self.preview = gr.HTML(elem_id="preview")
        self.groups = {EXAMPLE: examples, MIXTURE: mixtures, OWN: own, MICROPHONE: microphone}
        self.sound = [self.kind, self.example, self.first, self.second, self.level_db, self.sentence, self.file,
                      self.recorded]

    def _build_settings(self, systems: list[str]) -> None:
        """Build the settings."""
        gr.HTML("<h2>Settings</h2>")
        self.voices = gr.Radio([*VOICES], value=next(iter(VOICES)), label="Number of voices")
        with gr.Accordion("Find a person (optional)", open=False, elem_id="find"):
            gr.HTML('<p class="hint">Give a few seconds in which this person talks alone. The page reports whether '
                    "the person is present. The person's voice then comes first and has the name.</p>")
            self.name = gr.Textbox(label="Name", max_length=MAX_NAME_LENGTH, placeholder="Anna")
            self.person = _recorder(["upload", "microphone"], "The person", "person")
        with gr.Accordion("Advanced", open=False, elem_id="advanced"):
            self.system = gr.Dropdown(systems, value=systems[0], label="System")
            self.masks = gr.Radio([SOFT, BINARY], value=SOFT, label="Masks")
        self.settings = [self.voices, self.system, self.masks, self.person, self.name]
        self.inputs = [*self.sound, *self.settings]

    def _build_result(self) -> None:
        """Build the outputs."""
        gr.HTML("<h2>Result</h2>")
        self.verdict = gr.HTML(markup.IDLE)
        self.again = gr.Button("Try 2", visible=False, elem_id="again", size="md")
        self.sounds = gr.HTML(elem_id="sounds")
        with gr.Accordion("Advanced: masks and numbers", open=False, visible=False,
                          elem_id="details") as self.details:
            self.numbers = gr.HTML()
            with gr.Column(visible=False) as self.space:
                gr.HTML("<h3>Embeddings of the bins in three dimensions</h3>")
                self.plot = gr.Plot(show_label=False, elem_id="vectors", label="Embeddings of the bins")
                self.turn = gr.Slider(-180, 180, value=45, step=5, label="Turn (degrees), or drag the plot")
                self.caption = gr.HTML(elem_id="vectors-caption")
        self.result = [self.verdict, self.again, self.sounds, self.details, self.numbers, self.space, self.plot,
                       self.caption, self.turn]
        self.outputs = [self.status, self.stop, *self.result]

    def no_result(self) -> dict[Any, Any]:
        """Return the updates that clear the result."""
        return {self.verdict: markup.IDLE, self.again: gr.update(visible=False), self.sounds: "",
                self.details: gr.update(visible=False), self.numbers: "", self.space: gr.update(visible=False),
                self.plot: None, self.caption: ""}


def _recorder(sources: list, label: str, elem_id: str) -> gr.Audio:
    """Build a component that records a sound; Gradio's share button works on its own servers only."""
    return gr.Audio(sources=sources, type="filepath", editable=False, label=label, elem_id=elem_id,
                    buttons=["download"])


def _path(payload: Any) -> str | None:
    """Return the path of an uploaded file."""
    return payload.path if payload else None
