// Where a message is written: Enter sends, Shift+Enter does not, the field grows, and what is unsent is kept.

import { announce } from "./announce.js";
import { keepDraft, readDraft } from "./drafts.js";
import { say } from "./strings.js";

const GROWS_BY_ITSELF = CSS.supports("field-sizing", "content");
const TYPES_BY_TOUCH = matchMedia("(hover: none) and (pointer: coarse)");

export class Composer {
  /** `onSend(text)` is called with what is to be sent. */
  constructor(form, app, { onSend, onEditLast }) {
    this.form = form;
    this.app = app;
    this.onSend = onSend;
    this.onEditLast = onEditLast;
    this.field = form.querySelector("[data-text]");
    this.sendButton = form.querySelector("[data-send]");
    this.stopButton = form.querySelector("[data-stop]");
    this.field.value = this.field.value || readDraft(app.user, app.conversation);
    this.field.addEventListener("input", () => this.#changed());
    this.field.addEventListener("keydown", (event) => this.#pressed(event));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.stopButton.addEventListener("click", () => {
      app.stop();
      this.focus();
    });
    form.addEventListener("click", (event) => event.target === form && this.focus());
    this.#grow();
    this.show();
  }

  focus() {
    this.field.focus({ preventScroll: true });
  }

  /** Show what can be done now: send, or stop what is under way. */
  show() {
    const { live, isBusy } = this.app;
    const hadFocus = document.activeElement === this.stopButton || document.activeElement === this.sendButton;
    this.stopButton.hidden = !live;
    this.sendButton.hidden = Boolean(live);
    this.sendButton.disabled = isBusy || !this.field.value.trim();
    if (hadFocus && document.activeElement === document.body) this.focus();
  }

  submit() {
    const text = this.field.value.trim();
    if (!text) return;
    if (this.app.isBusy) {
      announce(say("busy"));
      return;
    }
    keepDraft(this.app.user, this.app.conversation, "");
    this.field.value = "";
    this.#grow();
    this.onSend(text);
  }

  #pressed(event) {
    // While an input method composes, Enter picks a candidate; some browsers only say so by the key code 229.
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.shiftKey && !event.altKey && !TYPES_BY_TOUCH.matches) {
      event.preventDefault();
      this.submit();
    } else if (event.key === "ArrowUp" && !this.field.value && !event.shiftKey) {
      if (this.onEditLast()) event.preventDefault();
    }
  }

  #changed() {
    keepDraft(this.app.user, this.app.conversation, this.field.value);
    if (this.field.value.trim()) this.app.wrote();
    this.#grow();
    this.show();
  }

  #grow() {
    if (GROWS_BY_ITSELF) return;
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight}px`;
  }
}
