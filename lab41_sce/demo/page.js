// <voice-player> plays its tracks in step. `player.py` writes its contents: a button, a position, tracks with buttons.
//
// Each track is an AudioBuffer behind its own gain. All buffers start at the same time of one AudioContext, so they
// stay in step to the sample. A solo track is heard alone; without one, all tracks that are not muted are heard.

class VoicePlayer extends HTMLElement {
  // Gradio 6 keeps the elements of an earlier player and changes their attributes; a new folder means new sounds.
  static observedAttributes = ["data-folder"];

  attributeChangedCallback() {
    queueMicrotask(() => this.prepare());  // Gradio changes the contents after the attributes
  }

  disconnectedCallback() {
    this.forget();
  }

  prepare() {
    this.forget();
    this.seconds = Number(this.dataset.seconds);
    this.tracks = [...this.querySelectorAll(".track")].map((element) => ({element, gain: null, buffer: null}));
    this.playButton = this.querySelector(".play");
    this.slider = this.querySelector("input[type=range]");
    this.playButton.onclick = () => (this.playing ? this.pause() : this.play());
    this.slider.oninput = () => this.seek(Number(this.slider.value));
    for (const {element} of this.tracks) {
      for (const button of element.querySelectorAll("button")) button.onclick = () => this.toggle(button);
      const waveform = element.querySelector(".waveform");
      waveform.onclick = (event) => this.seek(this.seconds * event.offsetX / waveform.offsetWidth);
    }
    this.mix();
    this.show();
  }

  forget() {
    this.pause();
    this.context?.close();
    this.context = null;
    this.position = 0;
  }

  async play() {
    for (const other of document.querySelectorAll("voice-player")) if (other !== this) other.pause();
    if (!this.context && !(await this.load())) return;
    await this.context.resume();
    this.start();
  }

  async load() {
    const context = this.context = new AudioContext({sampleRate: Math.min(Math.max(this.dataset.rate, 8000), 96000)});
    this.playButton.textContent = "Loading…";
    try {
      await Promise.all(this.tracks.map(async (track) => {
        const answer = await fetch(track.element.dataset.source);
        if (!answer.ok) throw new Error(answer.status);
        track.buffer = await context.decodeAudioData(await answer.arrayBuffer());
      }));
    } catch {
      if (this.context !== context) return false;  // the player has other sounds by now
      this.forget();
      this.show("The sound is not stored any more; choose it again.");
      return false;
    }
    if (this.context !== context) return false;
    for (const track of this.tracks) {
      track.gain = new GainNode(context, {gain: Number(track.audible)});
      track.gain.connect(context.destination);
    }
    return true;
  }

  start() {
    const now = this.context.currentTime;
    if (this.position >= this.seconds) this.position = 0;
    this.startedAt = now - this.position;
    this.sources = this.tracks.map(({buffer, gain}) => {
      const source = new AudioBufferSourceNode(this.context, {buffer});
      source.connect(gain);
      source.start(now, this.position);
      return source;
    });
    this.playing = true;
    this.show();
    this.follow();
  }

  pause() {
    if (!this.playing) return;
    this.position = Math.min(this.context.currentTime - this.startedAt, this.seconds);
    this.stopSources();
    this.playing = false;
    this.show();
  }

  stopSources() {
    for (const source of this.sources) source.stop();
  }

  seek(seconds) {
    this.position = seconds;
    if (this.playing) {
      this.stopSources();
      this.start();
    }
    this.show();
  }

  follow() {
    const sources = this.sources;
    const step = () => {
      if (!this.playing || this.sources !== sources) return;
      this.position = this.context.currentTime - this.startedAt;
      if (this.position >= this.seconds) this.pause();
      else requestAnimationFrame(step);
      this.show();
    };
    requestAnimationFrame(step);
  }

  toggle(button) {
    const pressed = button.getAttribute("aria-pressed") !== "true";
    if (button.className === "solo") {
      for (const other of this.querySelectorAll(".solo")) other.setAttribute("aria-pressed", "false");
    }
    button.setAttribute("aria-pressed", pressed);
    this.mix();
  }

  mix() {
    const pressed = (element, kind) => element.querySelector(kind)?.getAttribute("aria-pressed") === "true";
    const solo = this.tracks.find(({element}) => pressed(element, ".solo"));
    for (const track of this.tracks) {
      track.audible = solo ? track === solo : !pressed(track.element, ".mute");
      track.element.toggleAttribute("data-silent", !track.audible);
      // A short ramp makes no click.
      track.gain?.gain.setTargetAtTime(Number(track.audible), this.context.currentTime, 0.005);
    }
  }

  show(problem) {
    const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
    this.playButton.textContent = this.playing ? "Pause" : "Play";
    this.slider.value = this.position;
    this.slider.setAttribute("aria-valuetext", `${this.position.toFixed(1)} of ${this.seconds.toFixed(1)} seconds`);
    const time = this.querySelector(".time");
    time.setAttribute("role", problem ? "alert" : "timer");
    time.textContent = problem || `${clock(this.position)} / ${clock(this.seconds)}`;
    this.style.setProperty("--played", `${100 * this.position / this.seconds}%`);
  }
}

if (!customElements.get("voice-player")) customElements.define("voice-player", VoicePlayer);

// Gradio shows refusals in a corner of the screen, those of uploads as "HTTP 415: sentence". `Page.refuse` shows them in
// the page. Only a lost connection stays where it is, because the server cannot be asked.
new MutationObserver(() => {
  const button = document.getElementById("refusal");
  for (const toast of button ? document.querySelectorAll("[data-testid=toast-body]:not([data-moved])") : []) {
    const message = toast.querySelector("[data-testid=toast-text]").innerText.trim();
    if (/connection/i.test(message)) continue;
    toast.dataset.moved = true;
    toast.querySelector("[data-testid=toast-close]").click();
    button.dataset.message = message;
    button.click();
  }
}).observe(document.documentElement, {childList: true, subtree: true});
