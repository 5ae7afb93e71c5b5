// The panel: one conversation, or a new chat with its choice of personas. Made anew for each that is shown.

import { Composer } from "./composer.js";
import { StickyScroll } from "./scroll.js";
import { say } from "./strings.js";
import { labelThemeButtons } from "./theme.js";
import { Transcript } from "./transcript.js";
import { ElsewhereNote } from "./typing.js";

const SHOW_CONNECTING_AFTER = 1500;

export class Panel {
  constructor(root, app) {
    this.root = root;
    this.app = app;
    app.show(root.dataset.conversation);
    const column = root.querySelector("[data-column]");
    this.scroll = new StickyScroll(root.querySelector("[data-scroller]"), column, root.querySelector("[data-latest]"));
    this.transcript = new Transcript(root.querySelector("[data-messages]"), app, this.scroll, () => this.persona);
    this.composer = new Composer(root.querySelector("[data-composer]"), app, {
      onSend: (text) => this.send(text),
      onEditLast: () => this.transcript.editLast(),
    });
    this.elsewhere = new ElsewhereNote(root, app);
    this.offs = [app.on("change", () => this.show()), app.on("connection", () => this.#showConnection())];
    root.addEventListener("click", (event) => this.#clicked(event));
    root.addEventListener("change", (event) => event.target.name === "persona" && this.#choose(event.target));
    labelThemeButtons(root);
    const checked = root.querySelector('[name="persona"]:checked');
    if (checked) this.#choose(checked);
    this.#showConnection();
    if (app.conversation || app.pending.length > 0) this.scroll.toEnd();
    else this.scroll.toStart();
  }

  /** Who replies here. */
  get persona() {
    const { personaName: name, personaEmoji: emoji, personaColour: colour, persona: slug } = this.root.dataset;
    return { slug, name, emoji, colour };
  }

  close() {
    for (const off of this.offs) off();
    this.scroll.close();
    this.transcript.close();
    this.elsewhere.close();
    clearTimeout(this.connecting);
  }

  send(text) {
    this.app.send(text, this.persona.slug);
    this.scroll.toEnd();
    this.composer.focus();
  }

  /** A new chat was stored: it is a conversation from now on. */
  started(info) {
    const { root } = this;
    root.dataset.conversation = info.id;
    root.querySelector("[data-panel-persona]").textContent = info.persona_name;
    root.querySelector("[data-menu-button]").hidden = false;
    this.#showTitle(info.title);
  }

  show() {
    const { app, root } = this;
    const isEmpty = !app.conversation && app.pending.length === 0;
    const picker = root.querySelector("[data-picker]");
    if (picker) picker.hidden = !isEmpty;
    for (const list of root.querySelectorAll("[data-suggestions]")) list.hidden = !isEmpty;
    this.transcript.show();
    const held = app.state.conversations[app.conversation];
    if (held?.order.length) this.#showMore(held.more);
    if (app.info) this.#showTitle(app.info.title);
    this.composer.show();
  }

  #showMore(more) {
    this.root.querySelector("[data-earlier]").hidden = !more;
    const greeting = this.root.querySelector(`[data-greeting="${CSS.escape(this.persona.slug)}"]`);
    if (greeting) greeting.hidden = more;
  }

  #showTitle(title) {
    const heading = this.root.querySelector("[data-panel-title]");
    if (heading.textContent !== title) heading.textContent = title;
    this.root.dataset.title = title;
    document.title = `${title} · Nono`;
  }

  #showConnection() {
    clearTimeout(this.connecting);
    const pill = this.root.querySelector("[data-connection]");
    const { connection } = this.app;
    const isFirst = connection === "connecting" || connection === "";
    // A page that has just been opened is connected in a moment; only a longer moment is worth a word.
    if (isFirst && pill.hidden) this.connecting = setTimeout(() => this.#showPill(pill), SHOW_CONNECTING_AFTER);
    else this.#showPill(pill);
  }

  #showPill(pill) {
    const { connection } = this.app;
    pill.hidden = connection === "open";
    pill.querySelector("[data-connection-text]").textContent = connection === "open" ? "" : say(connection || "connecting");
  }

  #choose(radio) {
    const { dataset } = this.root;
    dataset.persona = radio.value;
    dataset.personaName = radio.dataset.name;
    dataset.personaEmoji = radio.dataset.emoji;
    dataset.personaColour = radio.dataset.colour;
    for (const greeting of this.root.querySelectorAll("[data-greeting]")) greeting.hidden = greeting.dataset.greeting !== radio.value;
  }

  #clicked(event) {
    const suggestion = event.target.closest("[data-suggestion]");
    if (suggestion && !this.app.isBusy) this.send(suggestion.textContent);
    if (event.target.closest("[data-load-earlier]")) this.transcript.loadEarlier();
  }
}
