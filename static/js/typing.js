// That the person is writing: told to their other tabs now and then, and shown in those that show the same conversation.

import { announce } from "./announce.js";

const TOLD_EVERY = 3000;
const SHOWN_FOR = 6000; // longer than the writer's pause between two tellings
const ANNOUNCED_EVERY = 60_000;

/** Tells the server that something is being written here. */
export class Typing {
  constructor(send) {
    this.send = send;
    this.conversation = "";
    this.toldAt = 0;
    this.isRefused = false;
  }

  /** Say that it is written in `conversation`, unless that was said a moment ago. */
  tell(conversation) {
    if (this.isRefused || (conversation === this.conversation && Date.now() - this.toldAt < TOLD_EVERY)) return;
    if (!this.send({ type: "typing", conversation })) return;
    this.conversation = conversation;
    this.toldAt = Date.now();
  }

  /** What let this tab in is not good for it: do not try again. */
  giveUp() {
    this.isRefused = true;
  }

  /** The server tells all tabs, the writer's too; nobody writes in two at once. */
  isHere(conversation) {
    return conversation === this.conversation && Date.now() - this.toldAt < SHOWN_FOR;
  }
}

/** The line that says so, in the place of the composer's help. */
export class ElsewhereNote {
  constructor(root, app) {
    this.help = root.querySelector("[data-composer-help]");
    this.note = root.querySelector("[data-elsewhere]");
    this.timer = null;
    this.announcedAt = 0;
    this.off = app.on("event", (event) => this.#heard(event, app));
  }

  close() {
    this.off();
    clearTimeout(this.timer);
  }

  #heard(event, app) {
    if (event.type === "typing.seen") {
      if (event.conversation === app.conversation && !app.typing.isHere(event.conversation)) this.#show();
    } else if (event.type === "conversation.updated" && event.conversation.id === app.conversation) {
      this.#hide(); // it was sent
    }
  }

  #show() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#hide(), SHOWN_FOR);
    this.note.hidden = false;
    this.help.hidden = true;
    if (Date.now() - this.announcedAt < ANNOUNCED_EVERY) return;
    this.announcedAt = Date.now();
    announce(this.note.textContent);
  }

  #hide() {
    clearTimeout(this.timer);
    this.note.hidden = true;
    this.help.hidden = false;
  }
}
